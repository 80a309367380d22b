namespace StreamService.Webhooks;

/// <summary>Whose turn it is to deliver events: of several replicas one does. Where there is one service only, it always is.</summary>
public class WebhookTurn
{
    /// <summary>Delivers whenever it is this service's turn, until it stops.</summary>
    /// <param name="deliver">Delivers until its token is cancelled.</param>
    public virtual Task RunAsync(Func<CancellationToken, Task> deliver, CancellationToken stopping) => deliver(stopping);
}
