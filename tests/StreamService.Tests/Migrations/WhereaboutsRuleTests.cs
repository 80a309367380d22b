using StreamService.Hypervisors;
using StreamService.Migrations;

namespace StreamService.Tests.Migrations;

public sealed class WhereaboutsRuleTests
{
    private const DomainStanding? Absent = null;
    private static readonly DomainStanding Running = new(DomainState.Running, MayHaveRun: true, JobActive: false, Persistent: true);
    private static readonly DomainStanding Migrating = Running with { JobActive = true };
    private static readonly DomainStanding Stopped = new(DomainState.Paused, MayHaveRun: false, JobActive: false, Persistent: true);
    private static readonly DomainStanding PausedByUser = new(DomainState.Paused, MayHaveRun: true, JobActive: false, Persistent: true);
    private static readonly DomainStanding Off = new(DomainState.ShutOff, MayHaveRun: true, JobActive: false, Persistent: true);
    private static readonly DomainStanding ShuttingDown = new(DomainState.ShuttingDown, MayHaveRun: true, JobActive: false, Persistent: true);

    public static TheoryData<DomainStanding?, DomainStanding?, Whereabouts> Table => new()
    {
        // Before and after a migration that went well.
        { Running, Absent, Whereabouts.Source },
        { Absent, Running, Whereabouts.Destination },
        // libvirt is at it.
        { Migrating, Absent, Whereabouts.Unclear },
        { Migrating, Stopped, Whereabouts.Unclear },
        // The destination prepared itself in vain.
        { Running, Stopped, Whereabouts.SourceAfterRemovingDestination },
        { Stopped, Stopped, Whereabouts.SourceAfterRemovingDestination },
        { Stopped, Absent, Whereabouts.SourceAfterResuming },
        // The switch came, and the source was not told.
        { Stopped, Running, Whereabouts.DestinationAfterRemovingSource },
        { Off, Running, Whereabouts.DestinationAfterRemovingSource },
        { Stopped, PausedByUser, Whereabouts.DestinationAfterRemovingSource },
        // Both run: libvirt took the migration for failed.
        { Running, Running, Whereabouts.SourceAfterRemovingDestination },
        // The guest shut down, before or after.
        { Off, Absent, Whereabouts.Source },
        { Absent, Off, Whereabouts.Destination },
        { Absent, Absent, Whereabouts.Source },
        { ShuttingDown, Absent, Whereabouts.Unclear },
        { Absent, ShuttingDown, Whereabouts.Unclear },
        // The source's QEMU ended before the destination had all.
        { Absent, Stopped, Whereabouts.Unclear },
        { Off, Stopped, Whereabouts.Unclear },
        { Running, Off, Whereabouts.Source },
    };

    [Theory]
    [MemberData(nameof(Table))]
    public void Tells_where_the_domain_is(DomainStanding? here, DomainStanding? there, Whereabouts expected) =>
        Assert.Equal(expected, WhereaboutsRule.Decide(here, there));

    [Fact]
    public void Never_lets_both_go_on()
    {
        DomainStanding?[] all = [Absent, Running, Migrating, Stopped, PausedByUser, Off, ShuttingDown];
        foreach (var here in all)
            foreach (var there in all)
            {
                var verdict = WhereaboutsRule.Decide(here, there);
                if (verdict is Whereabouts.SourceAfterResuming or Whereabouts.Source)
                    Assert.False(there is { IsActive: true }, $"{here} {there}");
                if (verdict == Whereabouts.Destination)
                    Assert.Null(here);
            }
    }
}
