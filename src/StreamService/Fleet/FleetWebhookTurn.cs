using System.Data.Common;
using Medallion.Threading.Postgres;
using StreamService.Configuration;
using StreamService.Webhooks;

namespace StreamService.Fleet;

/// <summary>
/// The replica that holds a lock in the database delivers the events of all. A moment in which two do, because one has lost its session
/// unawares, sends an event twice at the worst, as any crash may.
/// </summary>
public sealed class FleetWebhookTurn(StorageOptions storage, Membership membership, TimeProvider time, ILogger<FleetWebhookTurn> logger) : WebhookTurn
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <inheritdoc/>
    public override async Task RunAsync(Func<CancellationToken, Task> deliver, CancellationToken stopping)
    {
        var session = new Npgsql.NpgsqlConnectionStringBuilder(storage.PostgreSqlConnectionString) { ApplicationName = $"streamservice webhooks {membership.Name}" };
        var turn = new PostgresDistributedLock(new PostgresAdvisoryLockKey("streamservice webhooks", allowHashing: true), session.ToString());
        while (true)
        {
            try
            {
                var held = await turn.AcquireAsync(timeout: null, stopping);
                try
                {
                    using var lasting = CancellationTokenSource.CreateLinkedTokenSource(stopping, held.HandleLostToken);
                    await deliver(lasting.Token);
                }
                finally
                {
                    await ReleaseAsync(held);
                }
            }
            catch (Exception exception) when (exception is OperationCanceledException or DbException && !stopping.IsCancellationRequested)
            {
                FleetLog.TurnLost(logger, exception.Message);
                await Task.Delay(Pause, time, stopping);
            }
        }
    }

    private static async Task ReleaseAsync(PostgresDistributedLockHandle held)
    {
        try
        {
            await held.DisposeAsync();
        }
        catch (Exception exception) when (exception is DbException or InvalidOperationException)
        {
            // It went with its session.
        }
    }
}
