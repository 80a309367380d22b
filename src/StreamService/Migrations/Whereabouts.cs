using StreamService.Hypervisors;

namespace StreamService.Migrations;

/// <summary>What has to be done about a domain after libvirt's migration of it has ended, however it ended.</summary>
public enum Whereabouts
{
    /// <summary>It is on the source, and only there.</summary>
    Source,

    /// <summary>It is on the destination, and only there.</summary>
    Destination,

    /// <summary>It is on the source; what the destination has of it must go.</summary>
    SourceAfterRemovingDestination,

    /// <summary>It is stopped on the source and must go on there.</summary>
    SourceAfterResuming,

    /// <summary>It is on the destination; what the source has of it must go.</summary>
    DestinationAfterRemovingSource,

    /// <summary>It cannot be told yet.</summary>
    Unclear,
}

/// <summary>Tells from both sides where a domain is. Pure.</summary>
public static class WhereaboutsRule
{
    /// <summary>
    /// The domain is on the destination as soon as its processors ran there; until then it is on the source. Never may both
    /// run: what is stopped is removed before the other goes on.
    /// </summary>
    /// <param name="here">How it stands on the source; null: not there.</param>
    /// <param name="there">How it stands on the destination; null: not there.</param>
    public static Whereabouts Decide(DomainStanding? here, DomainStanding? there)
    {
        if (here is { JobActive: true } || here?.State == DomainState.ShuttingDown || there?.State == DomainState.ShuttingDown)
            return Whereabouts.Unclear;
        var ranThere = there is { MayHaveRun: true, IsActive: true };
        if (here is { Runs: true })
            return there is { IsActive: true } ? Whereabouts.SourceAfterRemovingDestination : Whereabouts.Source;
        if (here is { IsActive: true })
            return ranThere ? Whereabouts.DestinationAfterRemovingSource
                : there is { IsActive: true } ? Whereabouts.SourceAfterRemovingDestination
                : Whereabouts.SourceAfterResuming;
        // No QEMU has it on the source any more.
        return there switch
        {
            null => Whereabouts.Source,
            { IsActive: true, MayHaveRun: false } => Whereabouts.Unclear,
            _ => here is null ? Whereabouts.Destination : Whereabouts.DestinationAfterRemovingSource,
        };
    }
}
