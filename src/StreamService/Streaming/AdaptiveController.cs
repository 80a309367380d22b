using System.Globalization;
using StreamService.Hypervisors;

namespace StreamService.Streaming;

/// <summary>What a caller asked an adaptive stream to keep to.</summary>
/// <param name="TargetLatencyMs">Mean latency of the guest's reads and writes, in milliseconds; null: learned.</param>
/// <param name="MinBandwidth">Bytes per second that the guest's load does not push it below; 0: <see cref="AdaptiveController.DefaultFloor"/>.</param>
/// <param name="Bandwidth">The ceiling in bytes per second; 0 is unlimited.</param>
/// <param name="ClusterSize">The smallest useful request, in bytes.</param>
/// <param name="InFlight">Requests in flight while the guest is quiet.</param>
public sealed record AdaptiveLimits(double? TargetLatencyMs, long MinBandwidth, long Bandwidth, int ClusterSize, int InFlight);

/// <summary>What a stream has done so far.</summary>
/// <param name="Bytes">Brought in.</param>
/// <param name="RequestTime">The sum of the times that its requests took.</param>
public readonly record struct StreamWork(long Bytes, TimeSpan RequestTime);

/// <summary>What is right for this moment.</summary>
/// <param name="Window">With no request in flight it is closed: the guest is listened to.</param>
/// <param name="BytesPerSecond">0 is unlimited.</param>
/// <param name="Reason">Why it is less than full speed, in words; null at full speed.</param>
public readonly record struct AdaptivePace(PopulateWindow Window, long BytesPerSecond, string? Reason);

/// <summary>
/// Decides how wide and how fast a stream may be beside the guest, from the guest device's own counters: full width while the
/// guest is quiet, else small units at a pace that keeps the guest's latency at its target. In the manner of DRBD's resync
/// controller (drbd.conf: c-plan-ahead, c-fill-target, c-min-rate): ticks of 100 ms, a floor and a ceiling, damped.
/// </summary>
/// <remarks>
/// <code>
///            the guest does I/O                         the baseline is known
///   quiet ───────────────────────► listening (closed) ─────────────────────► yielding
///     ▲                                 ▲                                       │ │
///     │                                 └────── every 2 s, for 100 ms ──────────┘ │
///     └──────────────────── 500 ms without an operation ──────────────────────────┘
/// </code>
/// With a given target there is nothing to learn, and it does not listen. Not safe for several threads.
/// </remarks>
public sealed class AdaptiveController(AdaptiveLimits limits, TimeProvider time)
{
    /// <summary>How often it wants to see the counters.</summary>
    public static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    /// <summary>How long after its last operation the guest counts as quiet.</summary>
    public static readonly TimeSpan QuietAfter = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// How long until the guest is listened to again: 100 ms in 2 s cost 5 % of the pace. What else goes on at the host changes
    /// the guest's latency as much as the stream does, and must not be taken for it.
    /// </summary>
    public static readonly TimeSpan ListenEvery = TimeSpan.FromSeconds(2);

    /// <summary>A guest that does too little to learn from is not waited for longer than this.</summary>
    public static readonly TimeSpan ListenAtMost = TimeSpan.FromMilliseconds(300);

    /// <summary>The target where none is given never exceeds this, unless the guest alone is slower already.</summary>
    public const double LargestLearnedTargetMs = 5;

    /// <summary>
    /// How much slower than alone the guest may be where no target is given. Means are compared; what keeps the 99th percentile
    /// is <see cref="SharedTime"/>.
    /// </summary>
    public const double LearnedSlowdown = 1.25;

    /// <summary>The floor where none is given, in bytes per second: a stream must end.</summary>
    public const long DefaultFloor = 1 << 20;

    /// <summary>Where the pace begins when nothing is known yet, in bytes per second.</summary>
    private const long FirstPace = 16 << 20;

    /// <summary>No storage is faster: where the pace stops to rise, in bytes per second.</summary>
    private const long LargestPace = 4L << 30;

    /// <summary>The small unit, in bytes: measured to double the guest's operations against 1 MiB at the same pace.</summary>
    private const int SmallUnit = 64 << 10;

    /// <summary>A pace that the guest does not feel, in bytes per second: what it does beside that counts as learned, too.</summary>
    private const long TinyPace = 2 << 20;

    /// <summary>
    /// In learned mode the pace does not fall below that at which one small request is in flight for this part of the time: that
    /// cannot slow the guest by more, and what goes on above it is somebody else's doing.
    /// </summary>
    public const double KindShare = 0.15;

    /// <summary>
    /// In learned mode a request of ours and an operation of the guest's are under way at the same time for this part of the time
    /// at the most: so few of its operations meet one that its 99th percentile stays its own. A guest that seldom works has much
    /// time for a stream, one that never rests has little; see README, "What the guest feels".
    /// </summary>
    public const double SharedTime = 0.05;

    /// <summary>How long a small request is in the guest's way at the most: the rest is waiting for its source. In milliseconds.</summary>
    private const double LongestEncounterMs = 0.5;

    /// <summary>So many times the target is more than noise: the pace is halved at once.</summary>
    private const double Gross = 3;

    /// <summary>How strongly a tick answers to what the last second showed: low, as the answer shows with that delay only.</summary>
    private const double Gain = 0.25;

    /// <summary>Operations that tell a mean.</summary>
    private const int EnoughOperations = 8;

    /// <summary>How much of what was known of the guest's busy time a tick leaves: bursts are longer than ticks.</summary>
    private const double BusyKept = 0.8;

    private static readonly TimeSpan PaceKept = TimeSpan.FromSeconds(30);

    private GuestIo? _seen;
    private long _seenAt;
    private StreamWork _workBefore;
    private PopulateWindow _window;
    private DateTimeOffset _activeAt = DateTimeOffset.MinValue;
    private DateTimeOffset? _listeningSince;
    private DateTimeOffset _listenedAt = DateTimeOffset.MinValue;
    private DateTimeOffset _yieldedAt = DateTimeOffset.MinValue;
    private bool _drained;
    private double _pace = FirstPace;
    private int _width = 1;

    // Latencies have heavy tails: the mean of one tick's few hundred operations is off by a sixth.
    private readonly LatencyMean _reads = new(keep: 0.8);
    private readonly LatencyMean _writes = new(keep: 0.8);
    private readonly LatencyMean _present = new(keep: 0.85);
    private readonly LatencyMean _expected = new(keep: 0.85);
    private readonly LatencyMean _perByte = new(keep: 0.9);
    private readonly LatencyMean _felt = new(keep: 0.7);
    private double? _lastTick;
    private double _busy = 1;

    /// <summary>What is right before the guest was seen twice: next to nothing, for it may be at work.</summary>
    public static AdaptivePace Unknown { get; } = new(new PopulateWindow(1, SmallUnit), 0, "looking whether the guest is at work");

    /// <summary>What was asked for; a change counts with the next tick.</summary>
    public AdaptiveLimits Limits { get; set; } = limits;

    /// <summary>Whether the guest's latency, as far as it is known, is over what it is to stay under.</summary>
    public bool IsOverTarget => _present.Mean > Target();

    /// <summary>The mean of what the guest's reads and writes took lately, in milliseconds, to a microsecond; null while it is quiet, and where it cannot be seen.</summary>
    public double? GuestLatencyMs { get; private set; }

    /// <summary>Takes the counters' present value; returns what is right until the next.</summary>
    /// <param name="io">The guest device's counters.</param>
    /// <param name="work">What the stream has done so far.</param>
    public AdaptivePace Observe(GuestIo io, StreamWork work)
    {
        var now = time.GetUtcNow();
        var timestamp = time.GetTimestamp();
        // Counters that fell belong to another QEMU: a new history begins.
        var before = _seen is { } seen && seen.Operations <= io.Operations ? seen : io;
        var (reads, writes) = (io.Reads - before.Reads, io.Writes - before.Writes);
        var first = _seen is null;
        var seconds = first ? 0 : time.GetElapsedTime(_seenAt, timestamp).TotalSeconds;
        var achieved = seconds > 0 ? (work.Bytes - _workBefore.Bytes) / seconds : 0;
        if (seconds > 0)
            _busy = Math.Min(1, _busy * BusyKept + (1 - BusyKept) * (reads.Time + writes.Time + (io.Flushes - before.Flushes).Time).TotalSeconds / seconds);
        if (_width == 1 && _window.InFlight == 1)
            _perByte.Add(work.Bytes - _workBefore.Bytes, (work.RequestTime - _workBefore.RequestTime).TotalMilliseconds);
        (_seen, _seenAt, _workBefore) = (io, timestamp, work);

        // Nothing is known of a guest that was seen once.
        if (first)
            return Unknown;
        var wasQuiet = now - _activeAt >= QuietAfter;
        if (io.Operations != before.Operations)
            _activeAt = now;
        _felt.Add(reads.Count + writes.Count, (reads.Time + writes.Time).TotalMilliseconds);
        GuestLatencyMs = _felt.Mean is { } felt ? Math.Round(felt, 3) : null;
        if (now - _activeAt >= QuietAfter)
        {
            _felt.Clear();
            GuestLatencyMs = null;
            _listeningSince = null;
            return new AdaptivePace(_window = PopulateWindow.Wide(Limits.InFlight), 0, null);
        }
        if (wasQuiet)
            return BeginToYield(now);
        if (_listeningSince is not null)
        {
            if (!HasHeardEnough(reads, writes, now))
                return Closed();
            _listeningSince = null;
            // Nothing was streamed meanwhile, so there is nothing to correct.
            return Present();
        }
        _yieldedAt = now;
        Take(reads, writes);
        Correct(achieved);
        if (Limits.TargetLatencyMs is null && now - _listenedAt >= ListenEvery)
        {
            Listen(now, drained: _width == 1);
            return Closed();
        }
        return Present();
    }

    /// <summary>
    /// What is right while the counters cannot be read: the window of a stream that cannot see must be a kind one.
    /// </summary>
    public AdaptivePace Blind()
    {
        _felt.Clear();
        GuestLatencyMs = null;
        return new(PopulateWindow.Narrow with { InFlight = Math.Min(Limits.InFlight, PopulateWindow.Narrow.InFlight) }, 0, "the guest's counters cannot be read: few requests in flight");
    }

    /// <summary>What the guest has felt until now was the full width's doing, and says nothing.</summary>
    private AdaptivePace BeginToYield(DateTimeOffset now)
    {
        _present.Clear();
        _expected.Clear();
        _width = 1;
        // A guest that works in bursts is met with half of what it left last time.
        _pace = now - _yieldedAt < PaceKept ? Math.Max(_pace / 2, Math.Min(_pace, FirstPace)) : FirstPace;
        if (Limits.TargetLatencyMs is not null || now - _listenedAt < ListenEvery)
            return Present();
        Listen(now, drained: false);
        return Closed();
    }

    private void Listen(DateTimeOffset now, bool drained)
    {
        _listeningSince = now;
        _drained = drained;
    }

    private bool HasHeardEnough(GuestOperations reads, GuestOperations writes, DateTimeOffset now)
    {
        // The first tick after a wide window still has that window's requests in it.
        if (!_drained)
        {
            _drained = true;
            return false;
        }
        Learn(reads, writes);
        if (reads.Count + writes.Count < EnoughOperations && now - _listeningSince < ListenAtMost)
            return false;
        _listenedAt = now;
        return true;
    }

    private void Learn(GuestOperations reads, GuestOperations writes)
    {
        _reads.Add(reads.Count, reads.Time.TotalMilliseconds);
        _writes.Add(writes.Count, writes.Time.TotalMilliseconds);
    }

    private void Take(GuestOperations reads, GuestOperations writes)
    {
        var count = reads.Count + writes.Count;
        _lastTick = null;
        if (count == 0)
            return;
        _lastTick = count < EnoughOperations ? null : (reads.Time + writes.Time).TotalMilliseconds / count;
        _present.Add(count, (reads.Time + writes.Time).TotalMilliseconds);
        if (_pace <= TinyPace)
            Learn(reads, writes);
        // What the same mix of reads and writes would take with no stream beside it.
        _expected.Add(count, reads.Count * (_reads.Mean ?? _writes.Mean ?? 0) + writes.Count * (_writes.Mean ?? _reads.Mean ?? 0));
    }

    private void Correct(double achieved)
    {
        var target = Target();
        var latency = _present.Mean;
        if (latency > target || _lastTick > target * Gross)
        {
            // From what really went out: a pace that nothing reached would be cut without effect.
            var from = achieved > 0 ? Math.Min(_pace, achieved * 1.5) : _pace;
            _pace = from * (_lastTick > target * Gross ? 0.5 : Math.Pow(target / latency!.Value, Gain));
            _width = Math.Max(1, _width / 2);
            return;
        }
        var room = latency is { } below ? target / below : double.PositiveInfinity;
        if (achieved > _pace * 0.7)
            _pace *= Math.Min(Math.Pow(room, Gain), 1.1);
        else if (room > 1.1 && _width < Limits.InFlight * (PopulateWindow.LargestKindRequest / SmallUnit))
            // A pace that is not reached wants more requests in flight.
            _width += Math.Max(1, _width / 4);
    }

    private AdaptivePace Present()
    {
        double ceiling = Limits.Bandwidth > 0 ? Limits.Bandwidth : LargestPace;
        double floor = Limits.MinBandwidth > 0 ? Limits.MinBandwidth : DefaultFloor;
        var shared = SharedPace();
        if (Limits.TargetLatencyMs is null && _perByte.Mean is { } perByte and > 0)
            floor = Math.Max(floor, Math.Min(shared, KindShare * 1000 / perByte));
        floor = Math.Min(floor, ceiling);
        _pace = Math.Clamp(_pace, floor, Math.Max(floor, Math.Min(ceiling, shared)));
        return new AdaptivePace(_window = Window(), (long)_pace, _pace < shared ? Describe(_present.Mean, Target()) : DescribeBusy());
    }

    /// <summary>The pace at which a request meets the guest for <see cref="SharedTime"/>, in bytes per second.</summary>
    private double SharedPace()
    {
        if (Limits.TargetLatencyMs is not null)
            return double.PositiveInfinity;
        var unit = Math.Max(SmallUnit, Limits.ClusterSize);
        var encounter = Math.Min(LongestEncounterMs, _perByte.Mean is { } perByte and > 0 ? perByte * unit : LongestEncounterMs);
        return SharedTime / Math.Max(_busy, SharedTime) * unit / encounter * 1000;
    }

    /// <summary>The mean latency to stay under, in milliseconds.</summary>
    private double Target()
    {
        if (Limits.TargetLatencyMs is { } given)
            return given;
        if (_expected.Mean is not { } alone || alone == 0)
            return LargestLearnedTargetMs;
        return Math.Min(alone * LearnedSlowdown, Math.Max(alone, LargestLearnedTargetMs));
    }

    /// <summary>First more small units, then larger ones.</summary>
    private PopulateWindow Window()
    {
        var unit = Math.Max(SmallUnit, Limits.ClusterSize);
        var count = Math.Min(_width, Limits.InFlight);
        while (unit < PopulateWindow.LargestKindRequest && (long)_width * SmallUnit >= 2L * unit * Limits.InFlight)
            unit *= 2;
        return new PopulateWindow(count, unit);
    }

    private AdaptivePace Closed() => new(_window = new PopulateWindow(0, SmallUnit), 0, "listening to the guest alone");

    private string Describe(double? latency, double target)
    {
        var pace = Pace(_pace);
        return latency is not { } present ? $"the guest is at work: {pace}"
            : string.Create(CultureInfo.InvariantCulture, $"guest latency {present:0.0#} ms {(present > target ? "over" : "under")} {target:0.0#} ms: {pace}");
    }

    private string DescribeBusy() => string.Create(CultureInfo.InvariantCulture, $"the guest is at work {_busy * 100:0} % of the time: {Pace(_pace)}");

    private static string Pace(double bytesPerSecond) => bytesPerSecond >= 10 << 20
        ? string.Create(CultureInfo.InvariantCulture, $"{bytesPerSecond / (1 << 20):0} MiB/s")
        : string.Create(CultureInfo.InvariantCulture, $"{bytesPerSecond / (1 << 20):0.0} MiB/s");

    /// <summary>A mean in which what is older counts less with every sample.</summary>
    private sealed class LatencyMean(double keep)
    {
        private double _count;
        private double _milliseconds;

        public double? Mean => _count > 0 ? _milliseconds / _count : null;

        public void Add(long count, double milliseconds)
        {
            if (count == 0)
                return;
            _count = _count * keep + count;
            _milliseconds = _milliseconds * keep + milliseconds;
        }

        public void Clear() => _count = _milliseconds = 0;
    }
}
