using Microsoft.EntityFrameworkCore;
using StreamService.Deployment;
using StreamService.Migrations;
using StreamService.Qemu.Disks;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;
using StreamService.Streaming.Profiles;

namespace StreamService.Tests.Storage;

/// <summary>What must hold of budgets, profiles, deployments, migrations and keys on any database that the migrations made.</summary>
public abstract class OtherStoresContract
{
    private static readonly DateTimeOffset Time = new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero).AddTicks(1234567);

    /// <summary>Of the database.</summary>
    protected abstract IDbContextFactory<StreamDbContext> Contexts { get; }

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Budget_is_replaced_under_its_name_and_removed()
    {
        var store = new BudgetStore(Contexts, new DatabaseSignals());
        var window = new BudgetWindow(new TimeOnly(22, 0), new TimeOnly(6, 30), "Europe/Berlin", 0);
        await store.PutAsync(new BudgetDefinition("b", BudgetScope.Service, null, 1L << 40, [window]), Token);
        await store.PutAsync(new BudgetDefinition("a", BudgetScope.Host, "h1", 5, []), Token);
        await store.PutAsync(new BudgetDefinition("b", BudgetScope.Label, "gold", 7, [window]), Token);

        var budgets = await store.ListAsync(Token);
        Assert.Equal(["a", "b"], budgets.Select(budget => budget.Name));
        Assert.Equal((BudgetScope.Label, "gold", 7L, window), (budgets[1].Scope, budgets[1].Match, budgets[1].BytesPerSecond, Assert.Single(budgets[1].Windows)));
        await store.RemoveAsync("a", Token);
        Assert.Single(await store.ListAsync(Token));
    }

    [Fact]
    public async Task Every_deployment_counts_that_was_learned_from_at_the_same_time()
    {
        var store = new ProfileStore(Contexts, TimeProvider.System);
        var reads = new GuestReads();
        reads.Look(new AllocationMap(0, [new(0, ImageProfile.Block, 1, false), new(ImageProfile.Block, ImageProfile.Block, 2, false)]), 10);
        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => store.LearnAsync("/images/a.qcow2", "one", reads, Token)));
        var learned = await store.FindAsync("/images/a.qcow2", Token);
        Assert.Equal(6, learned!.Deployments);
        Assert.All(learned.Extents, extent => Assert.Equal(6, extent.Deployments));

        await store.LearnAsync("/images/a.qcow2", "two", reads, Token);
        Assert.Equal(("two", 1), ((await store.FindAsync("/images/a.qcow2", Token))!.Fingerprint, (await store.FindAsync("/images/a.qcow2", Token))!.Deployments));
        Assert.True(await store.RemoveAsync("/images/a.qcow2", Token));
        Assert.False(await store.RemoveAsync("/images/a.qcow2", Token));
    }

    [Fact]
    public async Task Deployments_of_a_folder_are_those_in_it_whatever_its_name()
    {
        var store = new DeploymentStore(Contexts);
        foreach (var overlay in new[] { "/disks/100%_a/x.qcow2", "/disks/100%_a/sub/y.qcow2", "/disks/1000_a/z.qcow2", "/disks/100%_A/u.qcow2", "/disks/100%_ab/v.qcow2" })
            await store.AddAsync(Deployed(overlay), epoch: 0, Token);

        Assert.Equal(["/disks/100%_a/sub/y.qcow2", "/disks/100%_a/x.qcow2"], (await store.ListInAsync("/disks/100%_a/", Token)).Select(record => record.Overlay).Order(StringComparer.Ordinal));
        Assert.Equal(5, (await store.ListFromAsync("/images/a", Token)).Count);
        var latest = Deployed("/w", Time.AddTicks(1));
        await store.AddAsync(latest, epoch: 0, Token);
        Assert.Equal(latest.Domain, (await store.FindAsync("web", Token))!.Domain);
        Assert.Empty(await store.ListUnfinishedAsync(Token));
        await store.SetStateAsync(latest.Domain, DeploymentState.Removing, Token);
        Assert.Equal(latest.Domain, Assert.Single(await store.ListUnfinishedAsync(Token)).Domain);
        await store.RemoveAsync(latest.Domain, Token);
        Assert.Null(await store.FindAsync(latest.Domain.ToString(), Token));
    }

    [Fact]
    public async Task Migration_is_found_as_it_was_kept_and_made_again_where_it_was_lost()
    {
        var store = new MigrationStore(Contexts);
        var begun = Migration();
        await store.AddAsync(begun, "key", epoch: 0, Token);
        AssertSame(begun, await store.FindByIdempotencyKeyAsync("key", Token));
        AssertSame(begun, Assert.Single(await store.ListActiveAsync(Token)));

        var done = begun with
        {
            State = MigrationState.Completed,
            SwitchedAt = Time.AddSeconds(3),
            FinishedAt = Time.AddSeconds(9),
            Generation = 99,
            Memory = new MemoryProgress(4, 3, 2, 1),
            LeftOnSource = ["/images/vda.raw"],
            Steps = [.. begun.Steps.Select(step => step with { State = MigrationStepState.Done, Attempts = 2, Detail = "done" })],
            Disks = [.. begun.Disks.Select(disk => disk with { Prepared = true, BytesRemaining = 0, BytesVerified = 1L << 40 })],
        };
        await store.UpdateAsync(done, epoch: 0, Token);
        AssertSame(done, await store.FindAsync(begun.MigrationId, Token));
        Assert.Empty(await store.ListActiveAsync(Token));
        AssertSame(done, Assert.Single(await store.ListAsync(new MigrationFilter([MigrationState.Completed], Host: "b", done.Domain), after: null, 10, Token)));
        var lost = done with { MigrationId = Guid.NewGuid() };
        await store.UpdateAsync(lost, epoch: 0, Token);
        AssertSame(lost, await store.FindAsync(lost.MigrationId, Token));

        await store.AddWrittenAsync(begun.MigrationId, "vda", [0, 255, 7], Token);
        Assert.Equal([0, 255, 7], await store.FindWrittenAsync(begun.MigrationId, "vda", Token));
        await store.RemoveWrittenAsync(begun.MigrationId, Token);
        Assert.Null(await store.FindWrittenAsync(begun.MigrationId, "vda", Token));
    }

    [Fact]
    public async Task Keys_that_sessions_are_sealed_with_are_numbered_by_the_database()
    {
        await using var context = await Contexts.CreateDbContextAsync(Token);
        context.DataProtectionKeys.AddRange(new() { FriendlyName = "one", Xml = "<key/>" }, new() { FriendlyName = "two", Xml = "<key/>" });
        await context.SaveChangesAsync(Token);
        Assert.Equal(2, await context.DataProtectionKeys.Select(key => key.Id).Distinct().CountAsync(Token));
    }

    private static DeploymentRecord Deployed(string overlay, DateTimeOffset? createdAt = null) => new()
    {
        Domain = Guid.NewGuid(),
        Name = "web",
        Host = "local",
        Image = "golden/a",
        ImageSource = "/images/a",
        ImageFingerprint = "one",
        Overlay = overlay,
        Target = "vda",
        Size = 1L << 40,
        CreatedAt = createdAt ?? Time,
        IdempotencyKey = null,
        State = DeploymentState.Deployed,
    };

    private static MigrationStatus Migration() => new(
        Guid.NewGuid(), Guid.NewGuid(), "web", "a",
        new MigrationSpec("b", new StreamSpec(null, 0, StreamPolicy.Adaptive, StreamPriority.Normal, StreamOnError.Stop, null, StreamOrder.Sequential), Verify: true, "qcow2", Folder: null),
        Persistent: true, Autostart: false, "10.0.0.1", MigrationState.Running, CancelRequested: false, MigrationStepName.Migrate, Reason: null, Error: null,
        [.. Enum.GetValues<MigrationStepName>().Select(name => new MigrationStep(name, MigrationStepState.Pending, null, null, 0, null))],
        [.. new[] { "vdb", "vda" }.Select(target => new MigrationDisk(target, 1 << 20, $"/images/{target}.raw", "raw", [], $"/images/{target}.qcow2", $"/other/{target}.raw", 10810))],
        Memory: null, LeftOnSource: [], Time, Time, SwitchedAt: null, FinishedAt: null, Generation: 7);

    /// <summary>Records compare lists by reference.</summary>
    private static void AssertSame(MigrationStatus expected, MigrationStatus? actual) =>
        Assert.Equal(System.Text.Json.JsonSerializer.Serialize(expected), System.Text.Json.JsonSerializer.Serialize(actual));
}
