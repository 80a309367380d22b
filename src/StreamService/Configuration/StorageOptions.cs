using Microsoft.Data.Sqlite;
using Npgsql;

namespace StreamService.Configuration;

/// <summary>Where records are kept.</summary>
public sealed class StorageOptions
{
    /// <summary><c>Sqlite</c>, a file; or <c>PostgreSql</c>, for several replicas.</summary>
    public string Provider { get; set; } = Sqlite;

    /// <summary>
    /// In the provider's own form. Default: <c>Data Source=streamservice.db</c>, a file that is made where it is missing; none for PostgreSQL.
    /// </summary>
    public string? ConnectionString { get; set; }

    private const string Sqlite = nameof(Sqlite), PostgreSql = nameof(PostgreSql);

    internal bool IsPostgreSql => Provider.Equals(PostgreSql, StringComparison.OrdinalIgnoreCase);

    private bool IsSqlite => Provider.Equals(Sqlite, StringComparison.OrdinalIgnoreCase);

    /// <summary>With a bound on how long anybody waits for a lock that another program holds, unless it names one.</summary>
    internal string SqliteConnectionString
    {
        get
        {
            var connection = new SqliteConnectionStringBuilder(ConnectionString ?? "Data Source=streamservice.db");
            if (!connection.ShouldSerialize("Default Timeout"))
                connection.DefaultTimeout = 5;
            return connection.ToString();
        }
    }

    /// <summary>
    /// With bounds on how long anybody waits for a server that is away, and on the connections of one replica, unless it names them.
    /// Holds a password, perhaps: never to be written anywhere.
    /// </summary>
    internal string PostgreSqlConnectionString
    {
        get
        {
            var connection = new NpgsqlConnectionStringBuilder(ConnectionString);
            // Seconds.
            if (!connection.ShouldSerialize("Timeout"))
                connection.Timeout = 5;
            if (!connection.ShouldSerialize("Command Timeout"))
                connection.CommandTimeout = 10;
            // A server takes 100 in all where nobody told it otherwise.
            if (!connection.ShouldSerialize("Maximum Pool Size"))
                connection.MaxPoolSize = 20;
            if (!connection.ShouldSerialize("Application Name"))
                connection.ApplicationName = "streamservice";
            return connection.ToString();
        }
    }

    internal IEnumerable<string> Faults()
    {
        const string Section = "StreamService:Storage";
        if (!IsSqlite && !IsPostgreSql)
            yield return $"{Section}:Provider '{Provider}' is not supported; use {Sqlite} or {PostgreSql}.";
        if (ConnectionString is null ? IsPostgreSql : string.IsNullOrWhiteSpace(ConnectionString))
            yield return $"{Section}:ConnectionString is missing{(IsPostgreSql ? ", like Host=db.example;Database=streamservice;Username=streamservice;Passfile=/etc/streamservice.pgpass" : "")}.";
        else if (IsSqlite && FaultOf(() => SqliteConnectionString) is { } file)
            yield return $"{Section}:ConnectionString is not valid: {file}";
        else if (IsPostgreSql)
            foreach (var fault in PostgreSqlFaults())
                yield return $"{Section}:ConnectionString {fault}";
    }

    private IEnumerable<string> PostgreSqlFaults()
    {
        if (FaultOf(() => PostgreSqlConnectionString) is { } fault)
        {
            yield return $"is not valid: {fault}";
            yield break;
        }
        var connection = new NpgsqlConnectionStringBuilder(ConnectionString);
        if (string.IsNullOrWhiteSpace(connection.Host))
            yield return "names no Host.";
        if (string.IsNullOrWhiteSpace(connection.Database))
            yield return "names no Database.";
        if (!connection.Pooling)
            yield return "turns Pooling off, which every request would pay for.";
    }

    /// <summary>What is wrong, without what was written: it may hold a password.</summary>
    private static string? FaultOf(Func<string> parse)
    {
        try
        {
            _ = parse();
            return null;
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException or InvalidCastException or OverflowException or KeyNotFoundException)
        {
            return exception.Message;
        }
    }
}
