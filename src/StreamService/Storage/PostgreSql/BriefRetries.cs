using System.Runtime.ExceptionServices;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;
using Npgsql.EntityFrameworkCore.PostgreSQL;

namespace StreamService.Storage.PostgreSql;

/// <summary>
/// Tries again, for about half a second, what a connection was lost under: after the server came back each pooled connection is
/// found dead once. A server that is away for longer is told of as what it is, a <see cref="System.Data.Common.DbException"/>.
/// </summary>
internal sealed class BriefRetries(ExecutionStrategyDependencies dependencies)
    : NpgsqlRetryingExecutionStrategy(dependencies, maxRetryCount: 3, maxRetryDelay: TimeSpan.FromMilliseconds(250), errorCodesToAdd: null)
{
    public override TResult Execute<TState, TResult>(
        TState state,
        Func<Microsoft.EntityFrameworkCore.DbContext, TState, TResult> operation,
        Func<Microsoft.EntityFrameworkCore.DbContext, TState, ExecutionResult<TResult>>? verifySucceeded)
    {
        try
        {
            return base.Execute(state, operation, verifySucceeded);
        }
        catch (RetryLimitExceededException exception) when (exception.InnerException is { } last)
        {
            ExceptionDispatchInfo.Throw(last);
            throw;
        }
    }

    public override async Task<TResult> ExecuteAsync<TState, TResult>(
        TState state,
        Func<Microsoft.EntityFrameworkCore.DbContext, TState, CancellationToken, Task<TResult>> operation,
        Func<Microsoft.EntityFrameworkCore.DbContext, TState, CancellationToken, Task<ExecutionResult<TResult>>>? verifySucceeded,
        CancellationToken cancellationToken = default)
    {
        try
        {
            return await base.ExecuteAsync(state, operation, verifySucceeded, cancellationToken);
        }
        catch (RetryLimitExceededException exception) when (exception.InnerException is { } last)
        {
            ExceptionDispatchInfo.Throw(last);
            throw;
        }
    }

    /// <summary>Not what took its whole time already.</summary>
    protected override bool ShouldRetryOn(Exception? exception) => exception is not NpgsqlException { InnerException: TimeoutException } && base.ShouldRetryOn(exception);
}
