using StreamService.Hypervisors;
using StreamService.Streaming;
using StreamService.Tests.Hypervisors;

namespace StreamService.Tests.Streaming;

public sealed class StreamAdmissionTests
{
    private static readonly BlockJobInfo Job = new("pull", 0, 1);

    public static TheoryData<DomainState, bool, string[], string?, bool, bool, StreamRefusal?> Rules => new()
    {
        // state, read-only, chain, base, stream active, block job
        { DomainState.Running, false, ["/base"], null, false, false, null },
        { DomainState.Paused, false, ["/base"], null, false, false, null },
        { DomainState.Suspended, false, ["/base"], "/base", false, false, null },
        { DomainState.Running, false, ["/middle", "/base"], "/base", false, false, null },
        { DomainState.Running, false, ["/base"], null, true, false, StreamRefusal.StreamActive },
        { DomainState.ShutOff, false, ["/base"], null, false, false, StreamRefusal.DomainNotRunning },
        { DomainState.Crashed, false, ["/base"], null, false, false, StreamRefusal.DomainNotRunning },
        { DomainState.NoState, false, ["/base"], null, false, false, StreamRefusal.DomainNotRunning },
        { DomainState.Running, true, ["/base"], null, false, false, StreamRefusal.DiskReadOnly },
        { DomainState.Running, false, [], null, false, false, StreamRefusal.NoBackingImage },
        { DomainState.Running, false, ["/base"], "/other", false, false, StreamRefusal.BaseNotInChain },
        { DomainState.Running, false, ["/base"], "/top.qcow2", false, false, StreamRefusal.BaseNotInChain },
        { DomainState.Running, false, ["/base"], null, false, true, StreamRefusal.BlockJobActive },
        // The first that is broken: what is nearest to the caller's own doing.
        { DomainState.ShutOff, true, [], "/other", true, true, StreamRefusal.StreamActive },
        { DomainState.ShutOff, true, [], "/other", false, true, StreamRefusal.DomainNotRunning },
        { DomainState.Running, true, [], "/other", false, true, StreamRefusal.DiskReadOnly },
        { DomainState.Running, false, [], "/other", false, true, StreamRefusal.NoBackingImage },
        { DomainState.Running, false, ["/base"], "/other", false, true, StreamRefusal.BaseNotInChain },
    };

    [Theory]
    [MemberData(nameof(Rules))]
    public void Rules_refuse_by_name(DomainState state, bool readOnly, string[] chain, string? @base, bool streamActive, bool blockJob, StreamRefusal? expected)
    {
        var disk = DiskInfoTests.Disk(readOnly, chain);
        var domain = new DomainInfo(Guid.NewGuid(), "web", "local", state, [disk]);
        var refused = Record.Exception(() => StreamAdmission.Check(domain, disk, @base, streamActive, blockJob ? Job : null)) as StreamRefusedException;
        Assert.Equal(expected, refused?.Refusal);
        if (refused is not null)
        {
            Assert.Equal(new DiskAddress("local", domain.Id, "vda"), refused.Disk);
        }
    }

    [Theory]
    [InlineData(true, null, new[] { "/base" }, null)]
    [InlineData(true, null, new string[0], StreamRefusal.NoBackingImage)]
    [InlineData(false, "Its chain is spelt out.", new[] { "/base" }, StreamRefusal.DomainNotRunning)]
    public void Shut_off_domain_is_streamed_where_its_image_can_be_opened(bool opens, string? obstacle, string[] chain, StreamRefusal? expected)
    {
        var disk = DiskInfoTests.Disk(false, chain) with { OpensOffline = opens, OfflineObstacle = obstacle };
        var domain = new DomainInfo(Guid.NewGuid(), "web", "local", DomainState.ShutOff, [disk]);
        var refused = Record.Exception(() => StreamAdmission.Check(domain, disk, null, streamActive: false, blockJob: null)) as StreamRefusedException;
        Assert.Equal(expected, refused?.Refusal);
        if (obstacle is not null)
            Assert.Contains(obstacle, refused!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refused_base_is_answered_with_the_chain_there_is()
    {
        var disk = DiskInfoTests.Disk(false, "/middle", "/base");
        var domain = new DomainInfo(Guid.NewGuid(), "web", "local", DomainState.Running, [disk]);
        var refused = Assert.Throws<StreamRefusedException>(() => StreamAdmission.Check(domain, disk, "/other", streamActive: false, blockJob: null));
        Assert.Contains("/middle → /base", refused.Message, StringComparison.Ordinal);
    }
}
