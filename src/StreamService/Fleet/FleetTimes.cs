namespace StreamService.Fleet;

/// <summary>The times that a fleet lives by. Each leaves room for the one before it, so no two replicas drive a host at once.</summary>
internal static class FleetTimes
{
    /// <summary>Between two signs of life.</summary>
    public static readonly TimeSpan Beat = TimeSpan.FromSeconds(1);

    /// <summary>A replica drives its hosts for so long after its last sign of life that the database took, by its own clock. A restart of the database is ridden out.</summary>
    public static readonly TimeSpan DriveFor = TimeSpan.FromSeconds(5);

    /// <summary>A replica is taken for dead so long after its last sign of life, by the database's clock.</summary>
    public static readonly TimeSpan DeadAfter = TimeSpan.FromSeconds(7);

    /// <summary>Leases are looked at anew without being told to: a net under the signals.</summary>
    public static readonly TimeSpan Look = TimeSpan.FromSeconds(5);
}
