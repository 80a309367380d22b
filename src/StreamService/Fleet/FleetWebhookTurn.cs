using System.Data.Common;
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
        while (true)
        {
            try
            {
                await using var turn = new FleetLock(session.ToString(), "webhooks");
                await turn.AcquireAsync(stopping);
                using var lasting = CancellationTokenSource.CreateLinkedTokenSource(stopping, turn.Lost);
                await deliver(lasting.Token);
            }
            catch (Exception exception) when (exception is OperationCanceledException or DbException && !stopping.IsCancellationRequested)
            {
                FleetLog.TurnLost(logger, exception.Message);
                await Task.Delay(Pause, time, stopping);
            }
        }
    }
}
