using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace StreamService.Storage.Sqlite;

/// <summary>A connection to a file that could not be written stays so when the file can be: the next attempt gets a new one.</summary>
internal sealed class FreshConnections : DbCommandInterceptor
{
    /// <summary>SQLITE_READONLY and SQLITE_IOERR.</summary>
    private const int ReadOnly = 8, InputOutput = 10;

    public override Task CommandFailedAsync(DbCommand command, CommandErrorEventData eventData, CancellationToken cancellationToken = default)
    {
        if (eventData.Exception is SqliteException { SqliteErrorCode: ReadOnly or InputOutput })
            SqliteConnection.ClearAllPools();
        return Task.CompletedTask;
    }
}
