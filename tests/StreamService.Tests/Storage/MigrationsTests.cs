using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.EntityFrameworkCore.Migrations.Operations;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;
using StreamService.Storage.Sqlite;

namespace StreamService.Tests.Storage;

/// <summary>The migrations of all databases lead to the one model, and only add to what an older replica knows.</summary>
public sealed class MigrationsTests
{
    /// <summary>The migrations from which on nothing may be taken away: what was there when the first replicas shared a database.</summary>
    private const string SqliteBaseline = "20261130070520_OperationsAndFleet", PostgreSqlBaseline = "Initial";

    /// <summary>They stand in the databases that are there, by these names.</summary>
    private static readonly string[] Released =
        ["20261123051855_Initial", "20261123074549_Deployments", "20261123113504_Migrations", "20261123144426_SecurityAndFaults"];

    public static TheoryData<Type> All => [typeof(SqliteStreamDbContext), typeof(PostgreSqlStreamDbContext)];

    [Theory]
    [MemberData(nameof(All))]
    public void Snapshot_is_up_to_date_with_the_model(Type type)
    {
        using var context = Context(type);
        Assert.False(context.Database.HasPendingModelChanges(), $"The model of {type.Name} has changed: deploy/add-migration NAME");
    }

    [Fact]
    public void Snapshots_of_all_databases_describe_the_same_model()
    {
        using var sqlite = new SqliteStreamDbContext.Design().CreateDbContext([]);
        using var postgreSql = new PostgreSqlStreamDbContext.Design().CreateDbContext([]);
        var described = Describe(SnapshotOf(sqlite));
        Assert.NotEmpty(described);
        Assert.Equal(described, Describe(SnapshotOf(postgreSql)));
    }

    [Fact]
    public void Migrations_that_databases_have_on_record_are_still_there()
    {
        using var context = new SqliteStreamDbContext.Design().CreateDbContext([]);
        Assert.Equal(Released, context.Database.GetMigrations().Take(Released.Length));
    }

    [Fact]
    public void Every_migration_belongs_to_a_database()
    {
        var known = All.SelectMany(row =>
        {
            using var context = Context(row.Data);
            return context.GetService<IMigrationsAssembly>().Migrations.Values.Select(migration => migration.AsType()).ToList();
        }).ToHashSet();
        Assert.DoesNotContain(typeof(StreamDbContext).Assembly.GetTypes(), type => type.IsSubclassOf(typeof(Migration)) && !known.Contains(type));
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Migrations_after_the_baseline_only_add(Type type)
    {
        using var context = Context(type);
        var assembly = context.GetService<IMigrationsAssembly>();
        var migrations = assembly.Migrations.OrderBy(migration => migration.Key, StringComparer.Ordinal).ToList();
        var baseline = migrations.FindIndex(migration => migration.Key.EndsWith(type == typeof(SqliteStreamDbContext) ? SqliteBaseline : PostgreSqlBaseline, StringComparison.Ordinal));
        Assert.True(baseline >= 0, "The baseline is gone.");
        foreach (var (id, migration) in migrations.Skip(baseline + 1))
            Assert.True(Takings(assembly.CreateMigration(migration, context.Database.ProviderName!)) is [], $"{id} takes away what an older replica needs: {string.Join(", ", Takings(assembly.CreateMigration(migration, context.Database.ProviderName!)))}");
    }

    [Fact]
    public void What_takes_away_is_told_from_what_adds()
    {
        Assert.Empty(Takings(new Sample(migration =>
        {
            migration.CreateTable("T", table => new { Id = table.Column<int>() });
            migration.CreateIndex("I", "T", "Id", unique: true);
            migration.AddColumn<string>("A", "Streams", nullable: true);
            migration.AddColumn<int>("B", "Streams", nullable: false, defaultValue: 0);
            migration.CreateIndex("J", "Streams", "A");
        })));
        foreach (var bad in new Action<MigrationBuilder>[]
        {
            migration => migration.DropColumn("A", "Streams"),
            migration => migration.DropTable("Streams"),
            migration => migration.DropIndex("J", "Streams"),
            migration => migration.RenameColumn("A", "Streams", "B"),
            migration => migration.RenameTable("Streams", newName: "Jobs"),
            migration => migration.AlterColumn<string>("A", "Streams"),
            migration => migration.AddColumn<int>("B", "Streams", nullable: false),
            migration => migration.CreateIndex("J", "Streams", "A", unique: true),
            migration => migration.Sql("DELETE FROM \"Streams\""),
        })
            Assert.Single(Takings(new Sample(bad)));
    }

    [Fact]
    public void Words_of_every_enum_fit_their_columns()
    {
        using var context = new PostgreSqlStreamDbContext.Design().CreateDbContext([]);
        var enums = context.Model.GetEntityTypes().SelectMany(entity => entity.GetProperties())
            .Select(property => (Type: Nullable.GetUnderlyingType(property.ClrType) ?? property.ClrType, Length: property.GetMaxLength())).Where(property => property.Type.IsEnum).ToList();
        Assert.NotEmpty(enums);
        Assert.All(enums, property => Assert.All(Enum.GetNames(property.Type), word => Assert.InRange(word.Length, 1, property.Length ?? 0)));
    }

    private static StreamDbContext Context(Type type) =>
        type == typeof(SqliteStreamDbContext) ? new SqliteStreamDbContext.Design().CreateDbContext([]) : new PostgreSqlStreamDbContext.Design().CreateDbContext([]);

    private static IModel SnapshotOf(StreamDbContext context) => context.GetService<IMigrationsAssembly>().ModelSnapshot!.Model;

    /// <summary>Tables, columns, keys and indexes, a line each, without the words that only one database has.</summary>
    private static List<string> Describe(IModel model)
    {
        var lines = new List<string>();
        foreach (var entity in model.GetEntityTypes())
        {
            var table = entity.GetTableName();
            lines.Add($"{table}: {entity.Name}, key {Columns(entity.FindPrimaryKey()!.Properties)}");
            lines.AddRange(entity.GetProperties().Select(property =>
                $"{table}.{property.Name}: {property.ClrType}, nullable {property.IsNullable}, length {property.GetMaxLength()}, generated {property.ValueGenerated}, token {property.IsConcurrencyToken}, default {property.GetDefaultValue()}"));
            lines.AddRange(entity.GetIndexes().Select(index => $"{table} index {Columns(index.Properties)}, unique {index.IsUnique}, filter {index.GetFilter()}"));
            lines.AddRange(entity.GetForeignKeys().Select(key => $"{table} refers by {Columns(key.Properties)} to {key.PrincipalEntityType.Name}, {key.DeleteBehavior}"));
        }
        lines.Sort(StringComparer.Ordinal);
        return lines;
    }

    private static string Columns(IEnumerable<IReadOnlyProperty> properties) => string.Join('+', properties.Select(property => property.Name));

    /// <summary>The operations after which an older replica fails, or would lose what it writes.</summary>
    private static List<string> Takings(Migration migration)
    {
        var made = migration.UpOperations.OfType<CreateTableOperation>().Select(table => table.Name).ToHashSet();
        return [.. migration.UpOperations.Where(operation => operation switch
        {
            CreateTableOperation => false,
            CreateIndexOperation index => index.IsUnique && !made.Contains(index.Table),
            AddColumnOperation column => !column.IsNullable && column.DefaultValue is null && column.DefaultValueSql is null,
            _ => true,
        }).Select(operation => operation.GetType().Name)];
    }

    private sealed class Sample(Action<MigrationBuilder> up) : Migration
    {
        protected override void Up(MigrationBuilder migrationBuilder) => up(migrationBuilder);
    }
}
