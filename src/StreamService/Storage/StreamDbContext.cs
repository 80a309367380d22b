using Microsoft.AspNetCore.DataProtection.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace StreamService.Storage;

/// <summary>The service's records. One model for all databases; each has its own migrations to it.</summary>
public abstract class StreamDbContext(DbContextOptions options) : DbContext(options), IDataProtectionKeyContext
{
    public DbSet<StreamRecord> Streams => Set<StreamRecord>();

    public DbSet<IdempotencyRecord> IdempotencyKeys => Set<IdempotencyRecord>();

    public DbSet<BudgetRecord> Budgets => Set<BudgetRecord>();

    public DbSet<ProfileRecord> Profiles => Set<ProfileRecord>();

    public DbSet<DeploymentRecord> Deployments => Set<DeploymentRecord>();

    public DbSet<MigrationRecord> Migrations => Set<MigrationRecord>();

    public DbSet<MigrationWrittenRecord> MigrationWrites => Set<MigrationWrittenRecord>();

    public DbSet<EventRecord> Events => Set<EventRecord>();

    public DbSet<WebhookCursorRecord> WebhookCursors => Set<WebhookCursorRecord>();

    public DbSet<HostLeaseRecord> HostLeases => Set<HostLeaseRecord>();

    public DbSet<ReplicaRecord> Replicas => Set<ReplicaRecord>();

    /// <summary>What the dashboard's session cookies are sealed with.</summary>
    public DbSet<DataProtectionKey> DataProtectionKeys => Set<DataProtectionKey>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<StreamRecord>(stream =>
        {
            stream.ToTable("Streams");
            stream.HasKey(record => record.StreamId);
            // The newest stream of a disk, also where its host is not known, and the list, newest first.
            stream.HasIndex(record => new { record.Domain, record.Target, record.CreatedAt });
            stream.HasIndex(record => new { record.CreatedAt, record.StreamId });
            // The other lists; rate, time left and bytes left change too often for an index of their own.
            stream.HasIndex(record => new { record.UpdatedAt, record.StreamId });
            stream.HasIndex(record => new { record.DomainName, record.StreamId });
            stream.HasIndex(record => new { record.Host, record.StreamId });
            // What is not over, and the totals: counted without a look at the rows.
            stream.HasIndex(record => new { record.State, record.Host });
            // What ended lately.
            stream.HasIndex(record => record.FinishedAt);
            stream.Property(record => record.Epoch).IsConcurrencyToken();
        });
        modelBuilder.Entity<IdempotencyRecord>(key =>
        {
            key.ToTable("IdempotencyKeys");
            key.HasKey(record => record.Key);
        });
        modelBuilder.Entity<BudgetRecord>(budget =>
        {
            budget.ToTable("Budgets");
            budget.HasKey(record => record.Name);
        });
        modelBuilder.Entity<ProfileRecord>(profile =>
        {
            profile.ToTable("Profiles");
            profile.HasKey(record => record.Source);
        });
        modelBuilder.Entity<DeploymentRecord>(deployment =>
        {
            deployment.ToTable("Deployments");
            deployment.HasKey(record => record.Domain);
            deployment.HasIndex(record => record.IdempotencyKey);
        });
        modelBuilder.Entity<MigrationRecord>(migration =>
        {
            migration.ToTable("Migrations");
            migration.HasKey(record => record.MigrationId);
            migration.HasIndex(record => new { record.CreatedAt, record.MigrationId });
            migration.HasIndex(record => record.State);
            migration.HasIndex(record => record.IdempotencyKey);
            migration.Property(record => record.Epoch).IsConcurrencyToken();
            migration.HasMany(record => record.Steps).WithOne().HasForeignKey(step => step.MigrationId);
            migration.HasMany(record => record.Disks).WithOne().HasForeignKey(disk => disk.MigrationId);
        });
        modelBuilder.Entity<MigrationStepRecord>(step =>
        {
            step.ToTable("MigrationSteps");
            step.HasKey(record => new { record.MigrationId, record.Name });
        });
        modelBuilder.Entity<MigrationDiskRecord>(disk =>
        {
            disk.ToTable("MigrationDisks");
            disk.HasKey(record => new { record.MigrationId, record.Target });
        });
        modelBuilder.Entity<MigrationWrittenRecord>(written =>
        {
            written.ToTable("MigrationWrites");
            written.HasKey(record => new { record.MigrationId, record.Target });
        });
        modelBuilder.Entity<EventRecord>(happened =>
        {
            happened.ToTable("Events");
            happened.HasKey(record => record.Sequence);
            happened.HasIndex(record => new { record.Subject, record.Sequence });
            happened.HasIndex(record => record.Time);
        });
        modelBuilder.Entity<WebhookCursorRecord>(cursor =>
        {
            cursor.ToTable("WebhookCursors");
            cursor.HasKey(record => record.Webhook);
        });
        modelBuilder.Entity<HostLeaseRecord>(lease =>
        {
            lease.ToTable("HostLeases");
            lease.HasKey(record => record.Host);
        });
        modelBuilder.Entity<ReplicaRecord>(replica =>
        {
            replica.ToTable("Replicas");
            replica.HasKey(record => record.Name);
        });
    }

    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        // SQLite cannot order DateTimeOffset, and PostgreSQL rounds it; ticks of UTC they order and keep. Enums are readable as names.
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTicksConverter>();
        configurationBuilder.Properties<Enum>().HaveConversion<string>().HaveMaxLength(32);
    }

    private sealed class UtcTicksConverter() : ValueConverter<DateTimeOffset, long>(
        time => time.UtcTicks,
        ticks => new DateTimeOffset(ticks, TimeSpan.Zero));
}
