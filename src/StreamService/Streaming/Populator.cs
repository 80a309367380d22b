using System.Threading.Channels;
using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>
/// The pipelined engine's inner loop: walks the allocation map and keeps a window of CACHE requests in flight over what
/// is still only in the backing chain. QEMU answers each by copying the clusters it touches into the overlay; no data
/// crosses the socket.
/// </summary>
/// <remarks>One populator serves one connection. Its counters may be read from any thread at any time.</remarks>
/// <param name="mostInFlight">Whatever the window allows; see <see cref="SourceLimits"/>.</param>
/// <param name="meters">Where the time of each request goes; null where nobody wants it.</param>
internal sealed class Populator(NbdClient connection, NbdClient mapConnection, StreamPace throttle, TimeProvider time, int mostInFlight = int.MaxValue, StreamMeters? meters = null)
{
    /// <summary>How much of the map is read ahead at once: the guest changes it, so not much.</summary>
    private const long MapAhead = 256L << 20;

    /// <summary>How long requests that are under way may still take once the stream is told to stop.</summary>
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(2);

    // A completed request wakes the sender, which goes on there and then; one pending wake-up is enough.
    private readonly Channel<bool> _completed = Channel.CreateBounded<bool>(new BoundedChannelOptions(1)
    {
        FullMode = BoundedChannelFullMode.DropWrite,
        AllowSynchronousContinuations = true,
    });

    private PopulateWindow _window = new(1, PopulateWindow.LargestKindRequest);
    private Exception? _fault;
    private int _inFlight;
    private long _bytesInFlight;
    private long _bytesSent;
    private long _bytesStreamed;
    private long _requestTime;
    private long _mapAskedAt;
    private long _lastCompletion = time.GetTimestamp();

    /// <summary>Bytes that its requests brought into the overlay.</summary>
    public long BytesStreamed => Interlocked.Read(ref _bytesStreamed);

    /// <summary>Where they went that no flush has covered yet.</summary>
    public UnflushedRanges Unflushed { get; } = new();

    /// <summary>Bytes that its requests asked for, answered or not.</summary>
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    /// <summary>The sum of the times that its requests took: over a span of time, how many were in flight on average.</summary>
    public TimeSpan RequestTime => time.GetElapsedTime(0, Interlocked.Read(ref _requestTime));

    /// <summary>How long requests have been in flight without one of them completing, or the map was asked for; zero while neither is.</summary>
    public TimeSpan StalledFor => Volatile.Read(ref _inFlight) > 0 ? time.GetElapsedTime(Interlocked.Read(ref _lastCompletion))
        : Interlocked.Read(ref _mapAskedAt) is > 0 and var asked ? time.GetElapsedTime(asked)
        : TimeSpan.Zero;

    /// <summary>Takes effect with the next request.</summary>
    public void SetWindow(PopulateWindow window)
    {
        lock (_completed)
            _window = window;
        _completed.Writer.TryWrite(true);
    }

    /// <summary>Populates all data above <paramref name="baseDepth"/>, at the throttle's pace.</summary>
    /// <param name="extents">What a map of the whole disk said needs streaming, in the order to stream it.
    /// It is asked again, piece by piece, just before the requests go.</param>
    /// <exception cref="NbdCommandException">A request failed: the source, or the space. Nothing else was sent after it.</exception>
    /// <exception cref="NbdException">The connection broke: QEMU is gone, or the export.</exception>
    public Task PopulateAsync(IEnumerable<AllocationExtent> extents, int baseDepth, CancellationToken cancellationToken) =>
        DrainAfterAsync(async () =>
        {
            foreach (var (offset, length) in Pieces(extents))
            {
                Interlocked.Exchange(ref _mapAskedAt, time.GetTimestamp());
                var map = await AllocationMap.ReadAsync(mapConnection, offset, length, cancellationToken);
                Interlocked.Exchange(ref _mapAskedAt, 0);
                foreach (var extent in map.Remaining(baseDepth))
                    await SendAsync(extent, paced: true, cancellationToken);
            }
        }, cancellationToken);

    /// <summary>Populates extents in their order, at the throttle's pace, without looking at the map again in between.</summary>
    /// <param name="extents">Few enough that the guest does not populate much of them meanwhile.</param>
    /// <inheritdoc cref="PopulateAsync" path="/exception"/>
    public Task PopulateHotAsync(IEnumerable<AllocationExtent> extents, CancellationToken cancellationToken) =>
        SendAllAsync(extents, paced: true, cancellationToken);

    /// <summary>
    /// Turns holes of the backing chain into zero clusters of the overlay, beside the pace: they bring no data. QEMU's own
    /// job would read each of them one after the other when it drops the backing link.
    /// </summary>
    public Task PopulateHolesAsync(IEnumerable<AllocationExtent> holes, CancellationToken cancellationToken) =>
        SendAllAsync(holes, paced: false, cancellationToken);

    private Task SendAllAsync(IEnumerable<AllocationExtent> extents, bool paced, CancellationToken cancellationToken) =>
        DrainAfterAsync(async () =>
        {
            foreach (var extent in extents)
                await SendAsync(extent, paced, cancellationToken);
        }, cancellationToken);

    private static IEnumerable<(long Offset, long Length)> Pieces(IEnumerable<AllocationExtent> extents)
    {
        (long Offset, long Length)? piece = null;
        foreach (var extent in extents)
            for (var offset = extent.Offset; offset < extent.End;)
            {
                // Small neighbours share one look at the map.
                if (piece is { } open && offset >= open.Offset && offset - open.Offset < MapAhead)
                {
                    var end = Math.Min(extent.End, open.Offset + MapAhead);
                    piece = (open.Offset, end - open.Offset);
                    offset = end;
                    continue;
                }
                if (piece is { } full)
                    yield return full;
                piece = (offset, 0);
            }
        if (piece is { Length: > 0 } last)
            yield return last;
    }

    private async Task SendAsync(AllocationExtent extent, bool paced, CancellationToken cancellationToken)
    {
        for (var offset = extent.Offset; offset < extent.End;)
        {
            var window = await WaitForSlotAsync(extent.End - offset, cancellationToken);
            var size = window.RequestBytes;
            if (paced)
                size = Math.Min(size, throttle.NextRequestSize);
            // Requests end where units end, so that no cluster is asked for twice.
            var length = (int)Math.Min(size - offset % size, extent.End - offset);
            if (paced)
                await throttle.WaitAsync(length, cancellationToken);
            cancellationToken.ThrowIfCancellationRequested();
            Interlocked.Add(ref _bytesSent, length);
            Interlocked.Add(ref _bytesInFlight, length);
            if (Interlocked.Increment(ref _inFlight) == 1)
                Interlocked.Exchange(ref _lastCompletion, time.GetTimestamp());
            _ = CacheAsync(offset, length, paced);
            offset += length;
        }
    }

    /// <param name="remaining">What is left of the extent: the next request will not be larger.</param>
    private async Task<PopulateWindow> WaitForSlotAsync(long remaining, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (Volatile.Read(ref _fault) is not null)
                throw new PopulateFaultException();
            PopulateWindow window;
            lock (_completed)
                window = _window;
            var inFlight = Volatile.Read(ref _inFlight);
            var bytes = Math.Min(remaining, window.RequestBytes) + Interlocked.Read(ref _bytesInFlight);
            if (inFlight < Math.Min(window.InFlight, mostInFlight) && (inFlight == 0 || bytes <= window.Bytes))
                return window;
            await _completed.Reader.ReadAsync(cancellationToken);
        }
    }

    private async Task CacheAsync(long offset, int length, bool paced)
    {
        var begun = time.GetTimestamp();
        try
        {
            await connection.CacheAsync(offset, length, CancellationToken.None);
            if (paced)
            {
                Unflushed.Add(offset, length);
                Interlocked.Add(ref _bytesStreamed, length);
            }
        }
        catch (Exception exception)
        {
            Interlocked.CompareExchange(ref _fault, exception, null);
        }
        var ended = time.GetTimestamp();
        meters?.Took(time.GetElapsedTime(begun, ended));
        Interlocked.Add(ref _requestTime, ended - begun);
        Interlocked.Exchange(ref _lastCompletion, ended);
        Interlocked.Add(ref _bytesInFlight, -length);
        Interlocked.Decrement(ref _inFlight);
        _completed.Writer.TryWrite(true);
    }

    private async Task DrainAfterAsync(Func<Task> send, CancellationToken cancellationToken)
    {
        try
        {
            await send();
            await DrainAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is PopulateFaultException or OperationCanceledException)
        {
            // What is under way may still come in, and then counts; but a dead source must not hold up a pause.
            using var enough = new CancellationTokenSource(DrainTime, time);
            try
            {
                await DrainAsync(enough.Token);
            }
            catch (OperationCanceledException)
            {
            }
            if (exception is OperationCanceledException)
                throw;
        }
        if (Volatile.Read(ref _fault) is { } fault)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(fault);
    }

    private async Task DrainAsync(CancellationToken cancellationToken)
    {
        while (Volatile.Read(ref _inFlight) > 0)
            await _completed.Reader.ReadAsync(cancellationToken);
    }

    /// <summary>Ends the sending; the fault itself is thrown once the requests under way are in.</summary>
    private sealed class PopulateFaultException : Exception;
}
