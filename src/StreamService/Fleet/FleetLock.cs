using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Medallion.Threading.Postgres;

namespace StreamService.Fleet;

/// <summary>An advisory lock in the fleet's database, in a session that the locks of one connection string share.</summary>
internal sealed class FleetLock : IAsyncDisposable
{
    private readonly PostgresDistributedLock _lock;
    private PostgresDistributedLockHandle? _handle;

    /// <param name="of">What it is for, the same words in every replica.</param>
    public FleetLock(string connectionString, string of)
    {
        Key = BitConverter.ToInt64(SHA256.HashData(Encoding.UTF8.GetBytes($"streamservice {of}")));
        _lock = new PostgresDistributedLock(new PostgresAdvisoryLockKey(Key), connectionString);
    }

    public long Key { get; }

    /// <summary>Whether it was acquired, and its session has not ended since.</summary>
    public bool IsHeld => _handle is { HandleLostToken.IsCancellationRequested: false };

    /// <summary>Cancelled when the session ends that it is held in.</summary>
    public CancellationToken Lost => _handle?.HandleLostToken ?? throw new InvalidOperationException("The lock is not held.");

    /// <summary>Acquires it if nobody has it.</summary>
    public async Task<bool> TryAcquireAsync()
    {
        await ReleaseAsync();
        _handle = await _lock.TryAcquireAsync(TimeSpan.Zero, CancellationToken.None);
        return _handle is not null;
    }

    /// <summary>Acquires it as soon as nobody has it.</summary>
    public async Task AcquireAsync(CancellationToken cancellationToken)
    {
        await ReleaseAsync();
        _handle = await _lock.AcquireAsync(timeout: null, cancellationToken);
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
