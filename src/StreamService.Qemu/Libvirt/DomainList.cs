using System.Runtime.InteropServices;

namespace StreamService.Qemu.Libvirt;

/// <summary>Reads domains out of what libvirt answers.</summary>
internal static unsafe class DomainList
{
    /// <summary>VIR_DOMAIN_STATS_STATE of libvirt-domain.h.</summary>
    private const uint StatsState = 1 << 0;

    /// <summary>VIR_UUID_STRING_BUFLEN of libvirt-host.h.</summary>
    private const int UuidStringLength = 37;

    /// <summary>All domains with their states. Native: to be called on a thread for that.</summary>
    internal static IReadOnlyList<DomainSummary> Read(ConnectHandle connection)
    {
        var count = NativeMethods.virConnectGetAllDomainStats(connection, StatsState, out var records, 0);
        LibvirtConnection.Check(count, nameof(NativeMethods.virConnectGetAllDomainStats));
        try
        {
            var domains = new List<DomainSummary>(count);
            for (var i = 0; i < count; i++)
                domains.Add(Read(records[i]));
            return domains;
        }
        finally
        {
            NativeMethods.virDomainStatsRecordListFree(records);
        }
    }

    /// <summary>The UUID and name of a domain object; nothing is asked of the daemon.</summary>
    internal static (Guid Uuid, string Name) Identify(nint domain)
    {
        var text = stackalloc byte[UuidStringLength];
        // Must not throw: it runs in callbacks too.
        var uuid = Guid.Empty;
        if (NativeMethods.virDomainGetUUIDString(domain, text) == 0)
            _ = Guid.TryParse(Marshal.PtrToStringUTF8((nint)text), out uuid);
        return (uuid, Marshal.PtrToStringUTF8((nint)NativeMethods.virDomainGetName(domain)) ?? "");
    }

    /// <summary>The number of a domain object that runs; nothing is asked of the daemon.</summary>
    internal static int? IdOf(nint domain)
    {
        var id = unchecked((int)NativeMethods.virDomainGetID(domain));
        return id == -1 ? null : id;
    }

    private static DomainSummary Read(VirDomainStatsRecord* record)
    {
        var (uuid, name) = Identify(record->Domain);
        var state = DomainState.NoState;
        var reason = 0;
        foreach (var (field, value) in TypedParameters.Read((nint)record->Params, record->ParamCount))
        {
            if (field == "state.state" && value is int number)
                state = (DomainState)number;
            else if (field == "state.reason" && value is int why)
                reason = why;
        }

        return new DomainSummary(uuid, name, IdOf(record->Domain), state, reason);
    }
}
