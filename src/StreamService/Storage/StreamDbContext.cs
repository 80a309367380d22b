using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace StreamService.Storage;

/// <summary>The service's records.</summary>
public sealed class StreamDbContext(DbContextOptions<StreamDbContext> options) : DbContext(options)
{
    public DbSet<StreamRecord> Streams => Set<StreamRecord>();

    public DbSet<IdempotencyRecord> IdempotencyKeys => Set<IdempotencyRecord>();

    public DbSet<BudgetRecord> Budgets => Set<BudgetRecord>();

    public DbSet<ProfileRecord> Profiles => Set<ProfileRecord>();

    public DbSet<DeploymentRecord> Deployments => Set<DeploymentRecord>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<StreamRecord>(stream =>
        {
            stream.ToTable("Streams");
            stream.HasKey(record => record.StreamId);
            // The newest stream of a disk, and the list, newest first.
            stream.HasIndex(record => new { record.Host, record.Domain, record.Target, record.CreatedAt });
            stream.HasIndex(record => new { record.CreatedAt, record.StreamId });
            stream.HasIndex(record => record.State);
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
    }

    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        // SQLite cannot order DateTimeOffset; ticks of UTC it can, and enums are readable in the file as names.
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTicksConverter>();
        configurationBuilder.Properties<Enum>().HaveConversion<string>().HaveMaxLength(32);
    }

    private sealed class UtcTicksConverter() : ValueConverter<DateTimeOffset, long>(
        time => time.UtcTicks,
        ticks => new DateTimeOffset(ticks, TimeSpan.Zero));
}
