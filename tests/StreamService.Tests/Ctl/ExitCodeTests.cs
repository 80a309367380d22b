using System.Net;
using StreamService.Client;
using StreamService.Ctl;

namespace StreamService.Tests.Ctl;

/// <summary>What streamctl ends with.</summary>
public sealed class ExitCodeTests
{
    [Theory]
    [InlineData(400, 2)]
    [InlineData(401, 6)]
    [InlineData(403, 6)]
    [InlineData(404, 3)]
    [InlineData(409, 4)]
    [InlineData(413, 2)]
    [InlineData(429, 5)]
    [InlineData(500, 1)]
    [InlineData(502, 1)]
    [InlineData(503, 5)]
    [InlineData(507, 4)]
    public void A_refusal_tells_the_caller_what_kind_it_is(int status, int code) =>
        Assert.Equal(code, ExitCodes.Of(new StreamServiceException((HttpStatusCode)status, new Problem { Code = "any" })));

    [Fact]
    public void Watching_ends_as_what_was_watched_does()
    {
        Assert.Equal(
            [(StreamState.Failed, 1), (StreamState.Cancelled, 7)],
            Enum.GetValues<StreamState>().Select(state => (state, ExitCodes.Of(state))).Where(pair => pair.Item2 != ExitCodes.Ok));
        Assert.Equal(
            [(MigrationState.Failed, 1), (MigrationState.Cancelled, 7)],
            Enum.GetValues<MigrationState>().Select(state => (state, ExitCodes.Of(state))).Where(pair => pair.Item2 != ExitCodes.Ok));
    }
}
