namespace StreamService.Qemu.Nbd;

/// <summary>What the server said of an export during the handshake (NBD_INFO_EXPORT, NBD_INFO_BLOCK_SIZE).</summary>
public sealed record NbdExportInfo
{
    /// <summary>Size of the export in bytes.</summary>
    public required long Size { get; init; }

    /// <summary>Clients cannot write. CACHE works all the same.</summary>
    public required bool ReadOnly { get; init; }

    /// <summary>The server takes NBD_CMD_CACHE.</summary>
    public required bool CanCache { get; init; }

    /// <summary>The server takes NBD_CMD_FLUSH.</summary>
    public required bool CanFlush { get; init; }

    /// <summary>Several connections to the export see one consistent state.</summary>
    public required bool CanMultiConn { get; init; }

    /// <summary>Offsets and lengths are to be multiples of this many bytes.</summary>
    public required int MinimumBlockSize { get; init; }

    /// <summary>Requests that are multiples of this many bytes are the cheap ones.</summary>
    public required int PreferredBlockSize { get; init; }

    /// <summary>Bytes that one read may ask for. QEMU holds CACHE to the same 32 MiB.</summary>
    public required int MaximumPayload { get; init; }

    /// <summary>Names of the metadata contexts that the server granted, in the order asked for.</summary>
    public required IReadOnlyList<string> MetadataContexts { get; init; }
}

/// <summary>Names of metadata contexts.</summary>
public static class NbdMetadataContext
{
    /// <summary>Holes and zeros (proto.md, "base:allocation metadata context"); bit 0 hole, bit 1 reads as zeros.</summary>
    public const string BaseAllocation = "base:allocation";

    /// <summary>
    /// Depth in the backing chain at which a range is allocated (QEMU docs/interop/nbd.txt): 0 nowhere, 1 in the active
    /// layer, 2 and more in the backing chain. Only exports made with <c>allocation-depth:true</c> have it.
    /// </summary>
    public const string AllocationDepth = "qemu:allocation-depth";

    /// <summary>What a bitmap that is exported with its node holds (QEMU docs/interop/nbd.txt): bit 0 is set for what is dirty.</summary>
    public static string DirtyBitmap(string name) => $"qemu:dirty-bitmap:{name}";
}
