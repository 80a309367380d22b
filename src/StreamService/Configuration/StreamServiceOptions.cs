using Microsoft.Extensions.Options;
using StreamService.Hypervisors;

namespace StreamService.Configuration;

/// <summary>Section <c>StreamService</c> of the configuration. Every fault is reported at the start, all at once.</summary>
public sealed class StreamServiceOptions
{
    public const string Section = "StreamService";

    /// <summary>The hosts whose domains are managed.</summary>
    public List<HostOptions> Hosts { get; init; } = [];

    /// <summary>How the log looks on the console.</summary>
    public LogFormat LogFormat { get; set; } = LogFormat.Text;

    /// <summary>Where the records of streams are kept.</summary>
    public StorageOptions Storage { get; init; } = new();

    /// <summary>How long events are kept.</summary>
    public EventOptions Events { get; init; } = new();

    /// <summary>This service as one of several replicas; only with PostgreSQL.</summary>
    public FleetOptions Fleet { get; init; } = new();

    /// <summary>
    /// Redis, in StackExchange.Redis' form (<c>redis.example:6379,password=…</c>): carries pictures of streams from replica to replica, for the hub. Holds a
    /// password, perhaps: never to be written anywhere. Default: none.
    /// </summary>
    public string Redis { get; set; } = "";

    /// <summary>How streams run.</summary>
    public StreamingOptions Streaming { get; init; } = new();

    /// <summary>How domains are deployed.</summary>
    public DeploymentOptions Deployment { get; init; } = new();

    /// <summary>How domains migrate, and how hosts export disks to other machines.</summary>
    public MigrationOptions Migration { get; init; } = new();

    /// <summary>Who may call.</summary>
    public AuthOptions Auth { get; init; } = new();

    /// <summary>How much one caller may ask.</summary>
    public RateLimitOptions RateLimit { get; init; } = new();

    /// <summary>A file for the audit log beside the console, a JSON object a line, a file a day. Default: none.</summary>
    public string AuditFile { get; set; } = "";

    /// <summary>Who is told of every state change.</summary>
    public List<WebhookOptions> Webhooks { get; init; } = [];

    /// <summary>Where traces go.</summary>
    public TraceOptions Traces { get; init; } = new();

    /// <summary>Limits that streams share; the API adds more.</summary>
    public List<BudgetOptions> Budgets { get; init; } = [];

    /// <summary>Where the images of new domains are; nothing outside of them can be named.</summary>
    public List<ImageRepositoryOptions> ImageRepositories { get; init; } = [];

    /// <summary>
    /// Folder of the NBD sockets; made where it is missing, and closed to all other users.
    /// Default: <c>/run/streamservice</c> for root, else <c>$XDG_RUNTIME_DIR/streamservice</c>.
    /// </summary>
    public string RuntimeDirectory { get; set; } = "";
}

/// <summary>One host.</summary>
public sealed class HostOptions
{
    /// <summary>What callers call it.</summary>
    public string Name { get; set; } = "";

    /// <summary>
    /// A libvirt URI, for example <c>qemu:///system</c>, or <c>qemu+unix:///system?socket=…</c> where its socket lies elsewhere,
    /// or another machine's, by <c>qemu+ssh://</c>, <c>qemu+libssh://</c>, <c>qemu+libssh2://</c>, <c>qemu+tls://</c> or <c>qemu+tcp://</c>;
    /// or monitor sockets of QEMU or qemu-storage-daemon, <c>qmp+unix:///path/to.sock</c> for one,
    /// <c>qmp+unix:///folder/*.sock</c> for all of a folder.
    /// </summary>
    public string Uri { get; set; } = "";

    /// <summary>
    /// The host's address for migrations and for exports to other machines. Default: the host in its URI, for this machine's own
    /// libvirt the address from which it reaches the destination.
    /// </summary>
    public string MigrationAddress { get; set; } = "";
}

/// <summary>How streams run.</summary>
public sealed class StreamingOptions
{
    /// <summary>CACHE requests in flight while the guest is quiet: 1 to 16, what QEMU's NBD server takes of one connection.</summary>
    public int InFlight { get; set; } = 16;

    /// <summary>Streams that run at once on one host; 0, the default, is unlimited. The others are queued.</summary>
    public int MaxStreamsPerHost { get; set; }

    /// <summary>Streams that read from one image source at once; 0, the default, is unlimited. The others are queued.</summary>
    public int MaxStreamsPerSource { get; set; }

    /// <summary>Flush after so many bytes; while the guest is quiet, after an eighth of them.</summary>
    public long CheckpointBytes { get; set; } = 256L << 20;

    /// <summary>Flush after so much time.</summary>
    public TimeSpan CheckpointInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Progress messages a second and stream, 1 to 4.</summary>
    public int ProgressPerSecond { get; set; } = 4;

    /// <summary>
    /// Progress messages a second over all connections of the hub; where more would be due each stream's come less often. Changes of
    /// state are not counted, and never wait.
    /// </summary>
    public int ProgressMessagesPerSecond { get; set; } = 20_000;

    /// <summary>A source that has answered nothing for so long makes the stream <c>waiting</c>.</summary>
    public TimeSpan StalledAfter { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The first pause before a retry; it doubles up to <see cref="RetryDelayLimit"/>.</summary>
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest pause before a retry.</summary>
    public TimeSpan RetryDelayLimit { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The pause after so many attempts in a row that failed, the first being 1.</summary>
    internal TimeSpan RetryDelayAfter(int attempt) =>
        TimeSpan.FromSeconds(Math.Min(RetryDelay.TotalSeconds * Math.Pow(2, Math.Min(attempt - 1, 20)), RetryDelayLimit.TotalSeconds));
}

/// <summary>Finds every fault of the section, not only the first.</summary>
public sealed class StreamServiceOptionsValidator : IValidateOptions<StreamServiceOptions>
{
    public ValidateOptionsResult Validate(string? name, StreamServiceOptions options)
    {
        var faults = Faults(options).ToList();
        return faults.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults);
    }

    private static IEnumerable<string> Faults(StreamServiceOptions options)
    {
        for (var i = 0; i < options.Hosts.Count; i++)
        {
            var host = options.Hosts[i];
            if (string.IsNullOrWhiteSpace(host.Name))
                yield return $"StreamService:Hosts:{i}:Name is missing.";
            else if (options.Hosts.Take(i).Any(other => other.Name == host.Name))
                yield return $"StreamService:Hosts:{i}:Name '{host.Name}' is used twice.";
            if (string.IsNullOrWhiteSpace(host.Uri))
                yield return $"StreamService:Hosts:{i}:Uri is missing.";
            else if (!Uri.TryCreate(host.Uri, UriKind.Absolute, out var uri))
                yield return $"StreamService:Hosts:{i}:Uri '{host.Uri}' is not a URI.";
            else if (QmpHypervisor.Takes(uri, out var fault))
            {
                if (fault is not null)
                    yield return $"StreamService:Hosts:{i}:Uri '{host.Uri}' {fault}.";
            }
            else if (uri.Scheme is not ("qemu" or "qemu+unix" or "qemu+ssh" or "qemu+libssh" or "qemu+libssh2" or "qemu+tls" or "qemu+tcp"))
                yield return $"StreamService:Hosts:{i}:Uri '{host.Uri}' is of a kind that is not supported; use qemu:///system, qemu:///session, qemu+unix:///system?socket=…, qemu+ssh://host/system, qemu+libssh://host/system, qemu+libssh2://host/system, qemu+tls://host/system, qemu+tcp://host/system or qmp+unix:///folder/*.sock.";
            if (Uri.TryCreate(host.Uri, UriKind.Absolute, out var secret) && secret.UserInfo.Contains(':', StringComparison.Ordinal))
                yield return $"StreamService:Hosts:{i}:Uri has a password, which callers and the log would see; use a key file, or libvirt's own auth.conf.";
            if (host.MigrationAddress.Length > 0 && Uri.CheckHostName(host.MigrationAddress) == UriHostNameType.Unknown)
                yield return $"StreamService:Hosts:{i}:MigrationAddress '{host.MigrationAddress}' is neither a name nor an address of a host.";
        }
        foreach (var fault in options.Storage.Faults().Concat(options.Deployment.Faults()).Concat(options.Migration.Faults()).Concat(options.Auth.Faults()).Concat(options.RateLimit.Faults()).Concat(options.Events.Faults()).Concat(options.Traces.Faults()))
            yield return fault;
        if (options.AuditFile.Length > 0 && !Path.IsPathRooted(options.AuditFile))
            yield return $"StreamService:AuditFile '{options.AuditFile}' is not an absolute path.";
        if (options.Redis.Length > 0 && RedisFault(options.Redis) is { } redisFault)
            yield return $"StreamService:Redis is not valid: {redisFault}";
        var streaming = options.Streaming;
        if (streaming.InFlight is < 1 or > 16)
            yield return $"StreamService:Streaming:InFlight is {streaming.InFlight}, not 1 to 16.";
        foreach (var (member, value) in new[]
        {
            (nameof(streaming.MaxStreamsPerHost), streaming.MaxStreamsPerHost),
            (nameof(streaming.MaxStreamsPerSource), streaming.MaxStreamsPerSource),
        })
            if (value < 0)
                yield return $"StreamService:Streaming:{member} is {value}, not 0 (unlimited) or more.";
        for (var i = 0; i < options.Budgets.Count; i++)
        {
            foreach (var (member, fault) in BudgetRules.Faults(options.Budgets[i]))
                yield return $"StreamService:Budgets:{i}:{member} {fault}";
            if (options.Budgets.Take(i).Any(other => other.Name == options.Budgets[i].Name))
                yield return $"StreamService:Budgets:{i}:Name '{options.Budgets[i].Name}' is used twice.";
        }
        for (var i = 0; i < options.ImageRepositories.Count; i++)
        {
            foreach (var (member, fault) in options.ImageRepositories[i].Faults())
                yield return $"StreamService:ImageRepositories:{i}:{member} {fault}";
            if (options.ImageRepositories.Take(i).Any(other => other.Name == options.ImageRepositories[i].Name))
                yield return $"StreamService:ImageRepositories:{i}:Name '{options.ImageRepositories[i].Name}' is used twice.";
        }
        for (var i = 0; i < options.Webhooks.Count; i++)
        {
            foreach (var (member, fault) in options.Webhooks[i].Faults())
                yield return $"StreamService:Webhooks:{i}:{member} {fault}";
            if (options.Webhooks.Take(i).Any(other => other.Name == options.Webhooks[i].Name))
                yield return $"StreamService:Webhooks:{i}:Name '{options.Webhooks[i].Name}' is used twice.";
        }
        if (streaming.CheckpointBytes < 1)
            yield return $"StreamService:Streaming:CheckpointBytes is {streaming.CheckpointBytes}, not positive.";
        if (streaming.ProgressPerSecond is < 1 or > 4)
            yield return $"StreamService:Streaming:ProgressPerSecond is {streaming.ProgressPerSecond}, not 1 to 4.";
        if (streaming.ProgressMessagesPerSecond < 1)
            yield return $"StreamService:Streaming:ProgressMessagesPerSecond is {streaming.ProgressMessagesPerSecond}, not 1 or more.";
        foreach (var (member, value) in new[]
        {
            (nameof(streaming.CheckpointInterval), streaming.CheckpointInterval),
            (nameof(streaming.StalledAfter), streaming.StalledAfter),
            (nameof(streaming.RetryDelay), streaming.RetryDelay),
            (nameof(streaming.RetryDelayLimit), streaming.RetryDelayLimit),
        })
            if (value <= TimeSpan.Zero || value > TimeSpan.FromDays(1))
                yield return $"StreamService:Streaming:{member} is {value}, not a time between 0 and 1 day.";
    }

    private static string? RedisFault(string text)
    {
        try
        {
            return StackExchange.Redis.ConfigurationOptions.Parse(text).EndPoints.Count > 0 ? null : "it names no address.";
        }
        catch (ArgumentException exception)
        {
            return exception.Message;
        }
    }
}
