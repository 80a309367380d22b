namespace StreamService.Streaming;

/// <summary>
/// One run of a stream job by one engine, from wherever the disk stands to its end. A job whose run was interrupted makes
/// another; the image's own allocation map says what is left.
/// </summary>
/// <remarks>Counters may be read from any thread while it runs.</remarks>
internal interface IStreamRun
{
    /// <summary>Bytes that this run brought into the overlay.</summary>
    long BytesStreamed { get; }

    /// <summary>Of those, what a flush that began after they came in has put on stable storage.</summary>
    long BytesDurable { get; }

    /// <summary>What is still only in the backing chain; null until that is known.</summary>
    long? BytesRemaining { get; }

    /// <summary>What was only in the backing chain when the run began; null until that is known.</summary>
    long? RemainingAtStart { get; }

    /// <summary>How long nothing has moved that should: the source or QEMU has not answered.</summary>
    TimeSpan StalledFor { get; }

    /// <summary>What it waits for beside the source, in words; null while it populates.</summary>
    string? WaitsFor { get; }

    /// <summary>Why it is slower than it could be, in words; null at full speed.</summary>
    string? Yielding { get; }

    /// <summary>When all that the image's profile names was in the overlay; null before, and where there is no profile.</summary>
    DateTimeOffset? BootReadyAt { get; }

    /// <summary>What the guest's reads and writes took lately, in milliseconds; null where nobody looks, or there were none.</summary>
    double? GuestLatencyMs { get; }

    /// <summary>Bytes of the image's profile that are still only in the backing chain; null where there is no profile, or nobody looks.</summary>
    long? HotRemaining { get; }

    /// <summary>What it has brought in and no flush has covered yet, as offsets and lengths; null where that is not known.</summary>
    IReadOnlyList<(long Offset, long Length)>? Unflushed { get; }

    /// <summary>Takes over a changed pace or policy, at once.</summary>
    void Change(StreamSpec spec);

    /// <summary>Runs until the disk is independent of what is streamed, and all of it on stable storage.</summary>
    /// <param name="finalizing">Awaited when nothing is left to populate.</param>
    /// <exception cref="OperationCanceledException">Interrupted; what came in stays.</exception>
    Task RunAsync(Func<Task> finalizing, CancellationToken cancellationToken);
}
