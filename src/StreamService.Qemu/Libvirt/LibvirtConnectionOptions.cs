namespace StreamService.Qemu.Libvirt;

/// <summary>Time limits and sizes of one <see cref="LibvirtConnection"/>.</summary>
public sealed record LibvirtConnectionOptions
{
    /// <summary>For opening the connection, its events included.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>For a call that does not change a domain's life; its wait for a free thread counts.</summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>For define, undefine, start, destroy and snapshot, where libvirt may probe QEMU first or wait for it; for folders,
    /// whose files libvirt looks into one by one.</summary>
    public TimeSpan LongCallTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Seconds of silence before the daemon is asked for a sign of life (virConnectSetKeepAlive); 0 turns it off.</summary>
    public int KeepAliveSeconds { get; init; } = 5;

    /// <summary>Unanswered requests after which the connection counts as broken.</summary>
    public int KeepAliveCount { get; init; } = 3;

    /// <summary>Long calls made at the same time, beside an ordinary one; more wait in a queue.</summary>
    public int Threads { get; init; } = 4;

    /// <summary>Events a subscriber may leave unread before its subscription ends in an error.</summary>
    public int EventBacklog { get; init; } = 4096;

    /// <summary>The clock of the time limits.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
