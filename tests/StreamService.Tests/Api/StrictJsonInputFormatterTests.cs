using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc.Formatters;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using StreamService.Api;
using StreamService.Streaming;

namespace StreamService.Tests.Api;

public sealed class StrictJsonInputFormatterTests
{
    [Fact]
    public async Task Every_member_arrives()
    {
        var (request, faults) = await ReadAsync("""{"mode":"single","offset":512,"length":1024,"base":"/b","bandwidth":7,"policy":"fixed","priority":"low","onError":"report","engine":"pipelined","order":"sequential"}""");
        Assert.Empty(faults);
        Assert.Equal((StreamMode.Single, 512, 1024, "/b", 7), (request!.Mode, request.Offset, request.Length, request.Base, request.Bandwidth));
        Assert.Equal((StreamPolicy.Fixed, StreamPriority.Low, StreamOnError.Report), (request.Policy, request.Priority, request.OnError));
    }

    [Fact]
    public async Task Names_and_values_may_be_escaped_and_null_means_left_out()
    {
        var (request, faults) = await ReadAsync("""{"m\u006fde":"f\u0075ll","base":null,"bandwidth":null}""");
        Assert.Empty(faults);
        Assert.Equal((StreamMode.Full, null, null), (request!.Mode, request.Base, request.Bandwidth));
    }

    [Theory]
    [InlineData("""{"mode":"full","speed":1,"bandwidth":"x"}""", "speed", "bandwidth")]
    [InlineData("""{"mode":"full","mode":"single"}""", "mode")]
    [InlineData("""{"Mode":"full"}""", "Mode")]
    [InlineData("""{"mode":1,"offset":"0","length":0.5,"base":[]}""", "mode", "offset", "length", "base")]
    [InlineData("""{"mode":"full","bandwidth":1e99}""", "bandwidth")]
    [InlineData("""{"mode":"full,single"}""", "mode")]
    [InlineData("""{"mode":" full"}""", "mode")]
    [InlineData("[1]", "")]
    [InlineData("", "")]
    [InlineData("{\"mode\":\"full\"", "")]
    [InlineData("{} {}", "")]
    public async Task Faults_are_all_reported_under_the_callers_names(string body, params string[] members)
    {
        var (_, faults) = await ReadAsync(body);
        Assert.Equal(members.Order(StringComparer.Ordinal), faults.Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Long_values_are_cut_short_in_the_fault()
    {
        var (_, faults) = await ReadAsync($$"""{"mode":"{{new string('x', 100_000)}}"}""");
        Assert.InRange(faults["mode"].Length, 64, 200);
    }

    private static async Task<(StreamRequest? Request, Dictionary<string, string> Faults)> ReadAsync(string body)
    {
        var options = new JsonSerializerOptions(JsonSerializerDefaults.Web) { NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow };
        options.TypeInfoResolver = JsonSerializerOptions.Default.TypeInfoResolver;
        var context = new DefaultHttpContext { Request = { Body = new MemoryStream(Encoding.UTF8.GetBytes(body)), ContentType = "application/json" } };
        var state = new ModelStateDictionary();
        var metadata = new EmptyModelMetadataProvider().GetMetadataForType(typeof(StreamRequest));
        var result = await new StrictJsonInputFormatter(options).ReadRequestBodyAsync(
            new InputFormatterContext(context, "", state, metadata, (stream, encoding) => new StreamReader(stream, encoding)), Encoding.UTF8);
        return (result.Model as StreamRequest, state.Where(entry => entry.Value!.Errors.Count > 0).ToDictionary(entry => entry.Key, entry => entry.Value!.Errors[0].ErrorMessage));
    }
}
