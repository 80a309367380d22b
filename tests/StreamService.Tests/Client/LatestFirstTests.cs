using StreamService.Client;
using Pictures = StreamService.Client.LatestFirst<string>;

namespace StreamService.Tests.Client;

/// <summary>What a reader of the hub gets, when the connection tells things late, twice, or faster than they are read.</summary>
public sealed class LatestFirstTests
{
    private static readonly Guid One = Guid.NewGuid(), Two = Guid.NewGuid();

    private readonly Pictures _pictures = new();

    [Fact]
    public async Task Progress_that_was_not_read_gives_way_to_later_and_changes_of_state_do_not()
    {
        Progress(One, 1);
        Progress(One, 2);
        Progress(Two, 7);
        Change(One, 3);
        Change(One, 4);
        Progress(One, 5);
        Progress(One, 6);
        Assert.Equal(["2", "7", "3", "4", "6"], await ReadAsync());
    }

    [Fact]
    public async Task Nothing_goes_backwards()
    {
        Assert.True(_pictures.TryRead(One, Picture(5, StreamUpdateKind.Snapshot)));
        // What was sent before the snapshot was taken arrives after it.
        Change(One, 4);
        Change(One, 5);
        Change(One, 6);
        Progress(One, 6);
        Change(Two, 1);
        Assert.Equal(["6", "1"], await ReadAsync());
    }

    [Fact]
    public async Task After_the_end_nothing_of_it_comes_any_more_however_many_others_ended_since()
    {
        Change(One, 9, over: true);
        for (var i = 0; i < 4000; i++)
            Change(Guid.NewGuid(), 1, over: true);
        Progress(One, 8);
        var read = await ReadAsync();
        Assert.Equal(4001, read.Count);
        Assert.Equal("9", read[0]);
    }

    [Fact]
    public async Task A_reader_learns_why_there_is_no_more_after_all_that_there_was()
    {
        Change(One, 1);
        _pictures.Complete(new InvalidOperationException("over"));
        var read = new List<string>();
        var error = await Assert.ThrowsAsync<InvalidOperationException>(async () =>
        {
            await foreach (var picture in _pictures.ReadAllAsync(TestContext.Current.CancellationToken))
                read.Add(picture.Value);
        });
        Assert.Equal(("over", "1"), (error.Message, Assert.Single(read)));
    }

    private void Progress(Guid id, long generation) => _pictures.Add(id, Picture(generation, StreamUpdateKind.Progress));

    private void Change(Guid id, long generation, bool over = false) => _pictures.Add(id, Picture(generation, StreamUpdateKind.StateChanged, over));

    private static Pictures.Picture Picture(long generation, StreamUpdateKind kind, bool over = false) =>
        new(generation.ToString(System.Globalization.CultureInfo.InvariantCulture), kind, generation, over, Passing: kind == StreamUpdateKind.Progress);

    private async Task<List<string>> ReadAsync()
    {
        _pictures.Complete(null);
        var read = new List<string>();
        await foreach (var picture in _pictures.ReadAllAsync(TestContext.Current.CancellationToken))
            read.Add(picture.Value);
        return read;
    }
}
