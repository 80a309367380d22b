using System.Globalization;
using System.Runtime.CompilerServices;

namespace StreamService.Client;

/// <summary>A disk of a domain: looked at, streamed, watched.</summary>
public sealed class DiskClient
{
    /// <summary>How long one long-poll lasts: shorter than what proxies cut off.</summary>
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(30);

    private readonly ApiConnection _api;

    internal DiskClient(ApiConnection api, string domain, string path)
    {
        _api = api;
        Domain = domain;
        Path = path;
    }

    /// <summary>The domain's UUID or name.</summary>
    public string Domain { get; }

    /// <summary>The disk's target or source.</summary>
    public string Path { get; }

    /// <summary>Format, size, backing chain, and whether it can be streamed.</summary>
    public Task<Disk> GetAsync(CancellationToken cancellationToken = default) =>
        _api.GetAsync<Disk>(Address.Of("domains", Domain, "disks", Path), cancellationToken);

    /// <summary>The allocation map.</summary>
    /// <param name="buckets">Instead of the extents the populated fraction of each of so many equal ranges.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<AllocationMap> GetMapAsync(int? buckets = null, CancellationToken cancellationToken = default) =>
        _api.GetAsync<AllocationMap>(Of("map").With("buckets", buckets?.ToString(CultureInfo.InvariantCulture)), cancellationToken);

    /// <summary>Streams the whole disk in the background.</summary>
    /// <param name="options">How; null for the service's defaults.</param>
    /// <param name="idempotencyKey">The same key and options answer as the first time did.</param>
    /// <param name="cancellationToken">Ends the wait, not the stream.</param>
    public Task<StreamStatus> StartAsync(StreamOptions? options = null, string? idempotencyKey = null, CancellationToken cancellationToken = default) =>
        _api.SendAsync<StreamStatus>(HttpMethod.Post, Of("stream"), options ?? new StreamOptions(), cancellationToken, idempotencyKey);

    /// <summary>Streams one unit now.</summary>
    /// <param name="offset">In bytes; a multiple of 512.</param>
    /// <param name="length">In bytes; a multiple of 512. Default: one cluster.</param>
    /// <param name="base">A backing image of the chain that stays.</param>
    /// <param name="idempotencyKey">The same key and step answer as the first time did.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<StepResult> StepAsync(long offset = 0, long? length = null, string? @base = null, string? idempotencyKey = null, CancellationToken cancellationToken = default) =>
        _api.SendAsync<StepResult>(HttpMethod.Post, Of("stream"), new Step(StreamMode.Single, offset, length, @base), cancellationToken, idempotencyKey);

    /// <summary>Streams unit after unit, each when the next result is asked for, until nothing is left on the whole disk.</summary>
    /// <param name="offset">Where to begin.</param>
    /// <param name="length">Of each unit. Default: one cluster.</param>
    /// <param name="base">A backing image of the chain that stays.</param>
    /// <param name="cancellationToken">Ends the steps.</param>
    public async IAsyncEnumerable<StepResult> StepsAsync(long offset = 0, long? length = null, string? @base = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        StepResult step;
        do
        {
            yield return step = await StepAsync(offset, length, @base, cancellationToken: cancellationToken);
            offset = step.Offset;
        }
        while (!step.Done);
    }

    /// <summary>Changes the disk's stream at once.</summary>
    public Task<StreamStatus> ChangeAsync(StreamChange change, CancellationToken cancellationToken = default) =>
        _api.SendAsync<StreamStatus>(HttpMethod.Patch, Of("stream"), change, cancellationToken);

    /// <summary>Has the disk's stream rest.</summary>
    public Task<StreamStatus> PauseAsync(CancellationToken cancellationToken = default) =>
        ChangeAsync(new StreamChange { State = StreamState.Paused }, cancellationToken);

    /// <summary>Has it go on.</summary>
    public Task<StreamStatus> ResumeAsync(CancellationToken cancellationToken = default) =>
        ChangeAsync(new StreamChange { State = StreamState.Running }, cancellationToken);

    /// <summary>Cancels the disk's stream. What was populated stays, and a later stream goes on from it.</summary>
    public Task<StreamStatus> CancelAsync(CancellationToken cancellationToken = default) =>
        _api.SendAsync<StreamStatus>(HttpMethod.Delete, Of("stream"), body: null, cancellationToken);

    /// <summary>The status of the disk's newest stream.</summary>
    public Task<StreamStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        _api.GetAsync<StreamStatus>(Of("status"), cancellationToken);

    /// <summary>The status, once it has reached a generation or the time is over.</summary>
    /// <param name="generation">One more than that of the status one has.</param>
    /// <param name="wait">At most 5 minutes.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<StreamStatus> WaitForGenerationAsync(long generation, TimeSpan wait, CancellationToken cancellationToken = default) =>
        _api.GetAsync<StreamStatus>(
            Of("status").With("waitForGeneration", generation.ToString(CultureInfo.InvariantCulture)).With("timeoutSeconds", wait.TotalSeconds.ToString(CultureInfo.InvariantCulture)),
            cancellationToken, wait);

    /// <summary>Long-polls until the status is as wished.</summary>
    /// <param name="wished">Sees each status once; not every one that there was.</param>
    /// <param name="cancellationToken">Ends the wait; there is no other limit.</param>
    public async Task<StreamStatus> WaitForAsync(Func<StreamStatus, bool> wished, CancellationToken cancellationToken = default)
    {
        var status = await GetStatusAsync(cancellationToken);
        while (!wished(status))
            status = await WaitForGenerationAsync(status.Generation + 1, LongPoll, cancellationToken);
        return status;
    }

    /// <summary>Long-polls until the stream is over, however it ended.</summary>
    public Task<StreamStatus> WaitForEndAsync(CancellationToken cancellationToken = default) => WaitForAsync(status => status.IsOver || status.State == StreamState.Idle, cancellationToken);

    private Address Of(string part) => Address.Of("domains", Domain, "disks", Path, part);

    /// <summary>The body of a single step.</summary>
    private sealed record Step(StreamMode Mode, long Offset, long? Length, string? Base);
}
