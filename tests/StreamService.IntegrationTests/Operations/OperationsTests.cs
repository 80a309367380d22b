using System.Net.Http.Json;
using System.Text.Json;
using StreamService.IntegrationTests.Harness;
using YamlDotNet.Serialization;

namespace StreamService.IntegrationTests.Operations;

/// <summary>What Prometheus, a collector of traces and a webhook's receiver saw of one real stream.</summary>
public sealed class OperationsTests(ObservedService observed) : IClassFixture<ObservedService>
{
    /// <summary>Prometheus' own, and the labels that it adds to all.</summary>
    private const string Up = "up";

    private static readonly string[] Added = ["job", "instance"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string StreamId => observed.Completed.GetProperty("streamId").GetString()!;

    [Fact]
    public void Metrics_tell_of_the_stream_what_its_status_does()
    {
        var scrape = observed.Scrape;
        var streamed = observed.Completed.GetProperty("bytesStreamed").GetInt64();
        Assert.True(streamed > 0);
        Assert.Equal(streamed, scrape.Sum("streamservice_populated_bytes_total", ("host", "local"), ("mode", "full")));
        Assert.Equal(streamed, scrape.Sum("streamservice_durable_bytes_total"));
        Assert.InRange(scrape.Sum("streamservice_budget_granted_bytes_total", ("budget", "all")), streamed, 2 * streamed);
        Assert.Equal(32 << 20, scrape.Sum("streamservice_budget_limit_bytes_per_second", ("budget", "all")));
        foreach (var state in new[] { "queued", "running", "finalizing", "completed" })
            Assert.Equal(1, scrape.Sum("streamservice_stream_transitions_total", ("host", "local"), ("state", state)));
        Assert.Equal(0, scrape.Sum("streamservice_stream_transitions_total", ("state", "failed")));
        // A request brings in a megabyte at the most.
        Assert.True(scrape.Sum("streamservice_populate_duration_seconds_count") >= streamed >> 20);
        Assert.True(scrape.Sum("streamservice_flush_duration_seconds_count") >= 2);
        Assert.True(scrape.Sum("streamservice_guest_latency_seconds_count", ("over_target", "false")) > 0);
        Assert.Equal(0, scrape.Sum("streamservice_guest_latency_seconds_count", ("over_target", "true")));
        Assert.Equal(1, scrape.Sum("streamservice_host_up", ("host", "local")));

        // Names of streams and domains would make a series each.
        Assert.DoesNotContain(StreamId, scrape.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(observed.Completed.GetProperty("domain").GetString()!, scrape.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Dashboard_and_alerts_name_only_what_is_there()
    {
        await using var hub = await Api.HubClient.ConnectAsync(observed.Service);
        // An answer to another scrape may be given once more, and what counts connections is told of them.
        var scrape = observed.Scrape;
        await Shell.WaitForAsync("the hub's connection to be counted", async () =>
            (scrape = new Scrape(await observed.Service.Http.GetStringAsync("/metrics", Token))).Has("signalr_server_active_connections"));
        var expressions = Dashboard().Concat(Alerts()).ToList();
        Assert.True(expressions.Count > 40, $"Only {expressions.Count} expressions were found.");

        var wrong = new List<string>();
        foreach (var (where, expression) in expressions)
        {
            var metrics = PromQl.MetricsIn(expression);
            if (metrics.Count == 0)
                wrong.Add($"{where}: no metric in {expression}");
            foreach (var (metric, labels) in metrics.Where(named => named.Metric != Up))
                if (!scrape.Has(metric))
                    wrong.Add($"{where}: {metric} is not there");
                else if (labels.Except(scrape.LabelsOf(metric)).Except(Added).ToList() is { Count: > 0 } missing)
                    wrong.Add($"{where}: {metric} has no label {string.Join(", ", missing)}");
        }
        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("sum by (host, le) (rate(a_bucket{host=~\"$host\",mode=\"by (x)\"}[5m])) / b > 0.5 and ignoring (state) c == 0", "a_bucket:host,mode b: c:")]
    [InlineData("histogram_quantile(0.99, sum without (le) (rate(d[$__rate_interval] offset 5m))) or vector(1)", "d:")]
    public void Metrics_of_an_expression_are_found(string expression, string metrics) =>
        Assert.Equal(metrics, string.Join(' ', PromQl.MetricsIn(expression).Select(named => $"{named.Metric}:{string.Join(',', named.Labels)}")));

    [Fact]
    public async Task Prometheus_itself_finds_nothing_wrong_with_rules_and_metrics()
    {
        Requires.Program("promtool");
        await Shell.RunAsync("promtool", "check", "rules", AlertsFile);

        // The runtime's own names are not ours to choose.
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllLinesAsync(file, observed.Scrape.Text.Split('\n').Where(line => line.Contains("streamservice_", StringComparison.Ordinal)), Token);
            await Shell.RunAsync("sh", "-c", $"promtool check metrics < {file}");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Log_of_the_stream_and_its_webhooks_tell_the_same()
    {
        var log = await observed.Service.Http.GetFromJsonAsync<JsonElement>($"/streams/{StreamId}/events", Token);
        var states = log.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("state").GetString()).ToList();
        Assert.Equal(["queued", "running", "finalizing", "completed"], states);
        Assert.Equal(observed.Completed.GetProperty("finishedAt").GetDateTimeOffset(), log.GetProperty("items")[3].GetProperty("time").GetDateTimeOffset());

        var events = (await observed.Webhook.WaitForAsync(all => all.Count >= states.Count)).Where(one => one.Data.GetProperty("streamId").GetString() == StreamId).ToList();
        Assert.Equal(states, events.Select(one => one.Data.GetProperty("state").GetString()));
        Assert.All(events, one => Assert.True(observed.Webhook.IsSigned(one)));
        // Nothing less, and nothing else, than the API shows.
        var shown = await observed.Service.Http.GetFromJsonAsync<JsonElement>($"/streams/{StreamId}", Token);
        Assert.Equal(shown.EnumerateObject().Select(member => member.Name), events[^1].Data.EnumerateObject().Select(member => member.Name));
        Assert.Equal(shown.GetRawText(), events[^1].Data.GetRawText());
    }

    [Fact]
    public async Task Trace_is_one_tree_from_the_request_to_the_end_of_the_backing_link()
    {
        await Shell.WaitForAsync("the job's span", () => Task.FromResult(observed.Traces.Spans.Any(span => span.Name == "stream.job")));
        var job = observed.Traces.Spans.Single(span => span.Name == "stream.job");
        var tree = observed.Traces.Spans.Where(span => span.Trace == job.Trace).ToDictionary(span => span.Id);

        Assert.Equal(["POST domains/{id}/disks/{path}/stream", "stream.start", "stream.job"], Way(job));
        var run = tree.Values.Single(span => span.Name == "stream.run");
        Assert.Equal(job.Id, run.Parent);
        foreach (var name in new[] { "stream.map", "stream.populate", "stream.finalize" })
            Assert.Contains(tree.Values, span => span.Name == name && span.Parent == run.Id);
        // Checkpoints come by bytes here: several batches, each a span, and far fewer than requests.
        var batches = tree.Values.Count(span => span.Name == "stream.populate");
        Assert.InRange(batches, 2, (int)observed.Scrape.Sum("streamservice_populate_duration_seconds_count") / 2);
        var finalize = tree.Values.Single(span => span.Name == "stream.finalize");
        Assert.Contains(tree.Values, span => span.Name == "stream.flush" && span.Parent == finalize.Id);
        Assert.Contains(tree.Values, span => span.Name == "stream.drop-link" && span.Parent == finalize.Id);
        // One root, and nothing that hangs in the air.
        Assert.Equal("", Assert.Single(tree.Values, span => !tree.ContainsKey(span.Parent)).Parent);

        List<string> Way(CollectedSpan span) => tree.TryGetValue(span.Parent, out var around) ? [.. Way(around), span.Name] : [span.Name];
    }

    private static string AlertsFile => Path.Combine(Repository.Root, "deploy", "prometheus", "alerts.yaml");

    private static IEnumerable<(string Where, string Expression)> Dashboard()
    {
        var dashboard = JsonDocument.Parse(File.ReadAllText(Path.Combine(Repository.Root, "deploy", "grafana", "streamservice.json"))).RootElement;
        return dashboard.GetProperty("panels").EnumerateArray().Where(panel => panel.TryGetProperty("targets", out _))
            .SelectMany(panel => panel.GetProperty("targets").EnumerateArray().Select(target => (panel.GetProperty("title").GetString()!, target.GetProperty("expr").GetString()!)));
    }

    private static IEnumerable<(string Where, string Expression)> Alerts() =>
        new DeserializerBuilder().IgnoreUnmatchedProperties().WithNamingConvention(YamlDotNet.Serialization.NamingConventions.CamelCaseNamingConvention.Instance).Build()
            .Deserialize<RuleFile>(File.ReadAllText(AlertsFile)).Groups.SelectMany(group => group.Rules).Select(rule => (rule.Alert, rule.Expr));

    private sealed class RuleFile
    {
        public List<RuleGroup> Groups { get; set; } = [];
    }

    private sealed class RuleGroup
    {
        public List<Rule> Rules { get; set; } = [];
    }

    private sealed class Rule
    {
        public string Alert { get; set; } = "";
        public string Expr { get; set; } = "";
    }
}
