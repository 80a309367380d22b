namespace StreamService.Hypervisors;

/// <summary>Has this service drive a host besides, for work that spans two; disposing of the claim gives it back. Where there are no other replicas it drives all.</summary>
/// <exception cref="HostUnreachableException">Another replica does, and cannot give it up now.</exception>
public delegate Task<IDisposable> ClaimHost(string host, CancellationToken cancellationToken);

/// <summary>The claim to a host that nobody else drives.</summary>
internal sealed class NoClaim : IDisposable
{
    public static NoClaim Instance { get; } = new();

    public void Dispose()
    {
    }
}
