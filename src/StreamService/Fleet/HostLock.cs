using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Medallion.Threading.Postgres;

namespace StreamService.Fleet;

/// <summary>The advisory lock of one host, in a session that many locks share.</summary>
internal sealed class HostLock : IAsyncDisposable
{
    private readonly PostgresDistributedLock _lock;
    private PostgresDistributedLockHandle? _handle;

    public HostLock(string connectionString, string host)
    {
        Key = BitConverter.ToInt64(SHA256.HashData(Encoding.UTF8.GetBytes($"streamservice host {host}")));
        _lock = new PostgresDistributedLock(new PostgresAdvisoryLockKey(Key), connectionString);
    }

    public long Key { get; }

    /// <summary>Whether it was acquired, and its session has not ended since.</summary>
    public bool IsHeld => _handle is { HandleLostToken.IsCancellationRequested: false };

    /// <summary>Acquires it if nobody has it.</summary>
    public async Task<bool> TryAcquireAsync()
    {
        await ReleaseAsync();
        _handle = await _lock.TryAcquireAsync(TimeSpan.Zero, CancellationToken.None);
        return _handle is not null;
    }

    public async ValueTask DisposeAsync() => await ReleaseAsync();

    private async Task ReleaseAsync()
    {
        try
        {
            if (_handle is { } handle)
                await handle.DisposeAsync();
        }
        catch (Exception exception) when (exception is DbException or InvalidOperationException)
        {
            // It went with its session.
        }
        _handle = null;
    }
}
