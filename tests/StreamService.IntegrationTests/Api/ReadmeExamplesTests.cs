using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using StreamService.IntegrationTests.Harness;
using StreamService.IntegrationTests.Migrations;

namespace StreamService.IntegrationTests.Api;

/// <summary>
/// README, "The API by example": its commands are run as they stand there, in bash, against a real service with real domains on two
/// hosts; they succeed, and together they use every call there is.
/// </summary>
[Collection(MigratingHosts.Name)]
[Trait("Category", "Slow")]
public sealed partial class ReadmeExamplesTests(SharedTwoHosts shared)
{
    /// <summary>Set this variable to write down the requests and answers for the OpenAPI document.</summary>
    private const string UpdateVariable = "UPDATE_OPENAPI";

    private static readonly string ExamplesFile = Path.Combine(Repository.Root, "src", "StreamService", "Api", "ApiExamples.json");

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Stands before curl on the PATH, and keeps what was asked and answered.</summary>
    private const string Curl = """
        #!/bin/bash
        kept=$(mktemp "$KEPT/XXXXXX")
        for ((i = 1; i <= $#; i++)); do
          [[ ${!i} != -d ]] || { next=$((i + 1)); printf %s "${!next}" >"$kept.request"; }
        done
        /usr/bin/curl --write-out '%{stderr}%{method} %{url_effective} %{http_code} %{content_type}' "$@" 2>"$kept.line" | tee "$kept.answer"
        status=${PIPESTATUS[0]}
        cat "$kept.line" >&2
        exit "$status"
        """;

    private sealed record Call(string Method, string Path, int Status, string? MediaType, string? Request, string Answer);

    [GeneratedRegex(@"^## The API by example$(?<section>.*?)^## ", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Section();

    [GeneratedRegex(@"^```sh\n(?<block>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Blocks();

    [GeneratedRegex(@"(?<method>[A-Z]+) https?://[^/]+(?<path>/[^? ]*)\S* (?<status>[0-9]{3}) ?(?<type>[^;]*)[^;]*(;.*)?$")]
    private static partial Regex Line();

    [Fact]
    public async Task Every_call_has_an_example_that_works()
    {
        Requires.Program("curl");
        Requires.Program("jq");
        var hosts = await shared.StartedAsync();
        var folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        // QEMU runs as another user, who must get through to the image.
        File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
        await NumberedSectors.WriteAsync(Path.Combine(folder, "debian-13"), 16 << 20, salt: 1, (0, 16 << 20));
        await using var guest = await MigratingGuest.StartAsync(hosts, backing: true, name: "web1");
        await using var site = await MigrationSite.StartAsync(shared, new()
        {
            ["StreamService__ImageRepositories__0__Name"] = "golden",
            ["StreamService__ImageRepositories__0__Uri"] = folder,
            ["StreamService__Deployment__OverlayFolder"] = "/srv",
            ["StreamService__Deployment__Learn"] = "false",
        });

        var calls = await RunAsync(hosts, Blocks().Matches(Section().Match(await File.ReadAllTextAsync(Path.Combine(Repository.Root, "README.md"))).Groups["section"].Value)
            .Select(block => block.Groups["block"].Value));
        Directory.Delete(folder, recursive: true);

        // Each answer is a documented one, and every documented call is among them.
        var examples = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (var call in calls)
        {
            var operation = await OpenApiContract.AssertAsync(call.Method, call.Path, call.Status, call.MediaType, call.Answer);
            Assert.True(operation is not null, $"{call.Method} {call.Path} is not documented.");
            Keep(examples, operation["operationId"]!.GetValue<string>(), call, folder);
        }
        Assert.Empty(OperationIds().Except(examples.Keys));
        if (Environment.GetEnvironmentVariable(UpdateVariable) == "1")
            await File.WriteAllTextAsync(ExamplesFile, JsonSerializer.Serialize(examples, Indented) + "\n");
    }

    [Fact]
    public async Task The_examples_of_the_document_are_what_it_says()
    {
        foreach (var (path, item) in OpenApiContract.Document.Value["paths"]!.AsObject())
            foreach (var (method, operation) in item!.AsObject().Where(member => member.Value is JsonObject call && call["operationId"] is not null))
            {
                var name = $"{method} {path}";
                if (operation!["requestBody"]?["content"]?["application/json"] is { } body)
                {
                    Assert.True(body["example"] is not null, $"{name} has no example of a request; {UpdateVariable}=1 makes this class write them.");
                    Assert.Empty(await OpenApiContract.FaultsAsync(body["schema"]!.AsObject(), body["example"]!.ToJsonString()));
                }
                var successes = operation["responses"]!.AsObject().Where(response => response.Key.StartsWith('2') && response.Value!["content"] is not null).ToList();
                Assert.True(successes.Count == 0 || successes.Any(response => response.Value!["content"]!["application/json"]!["example"] is not null), $"{name} has no example of an answer.");
                foreach (var (status, response) in successes)
                    if (response!["content"]!["application/json"] is { } answer && answer["example"] is { } example)
                        await OpenApiContract.AssertAsync(method.ToUpperInvariant(), path, int.Parse(status, System.Globalization.CultureInfo.InvariantCulture), "application/json", example.ToJsonString());
            }
    }

    /// <summary>Runs the blocks as one script, in the first host.</summary>
    private static async Task<IReadOnlyList<Call>> RunAsync(TwoHosts hosts, IEnumerable<string> blocks)
    {
        var folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        var kept = Directory.CreateDirectory(Path.Combine(folder, "kept")).FullName;
        var curl = Path.Combine(folder, "curl");
        await File.WriteAllTextAsync(curl, Curl);
        File.SetUnixFileMode(curl, (UnixFileMode)0b111_101_101);
        var script = Path.Combine(folder, "script");
        await File.WriteAllTextAsync(script, $"set -Eeuo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n{string.Join('\n', blocks)}");
        await hosts.ExecAsync(1, "env", $"PATH={folder}:{Environment.GetEnvironmentVariable("PATH")}", $"KEPT={kept}", "bash", script);
        var calls = new List<Call>();
        foreach (var file in Directory.GetFiles(kept, "*.line").OrderBy(File.GetLastWriteTimeUtc))
        {
            // Before it stands what curl itself had to say.
            var line = Line().Match((await File.ReadAllTextAsync(file)).Split('\n')[^1]);
            Assert.True(line.Success, await File.ReadAllTextAsync(file));
            var request = Path.ChangeExtension(file, "request");
            calls.Add(new Call(line.Groups["method"].Value, line.Groups["path"].Value, int.Parse(line.Groups["status"].Value, System.Globalization.CultureInfo.InvariantCulture), line.Groups["type"].Value.Trim(),
                File.Exists(request) ? await File.ReadAllTextAsync(request) : null, await File.ReadAllTextAsync(Path.ChangeExtension(file, "answer"))));
        }
        Directory.Delete(folder, recursive: true);
        return calls;
    }

    /// <summary>The last request that succeeded, and the last answer of each status.</summary>
    private static void Keep(SortedDictionary<string, JsonObject> examples, string id, Call call, string folder)
    {
        if (!examples.TryGetValue(id, out var example))
            examples[id] = example = call.Request is null ? new JsonObject { ["responses"] = new JsonObject() } : new JsonObject { ["request"] = null, ["responses"] = new JsonObject() };
        if (call.Request is not null && call.Status < 300)
            example["request"] = JsonNode.Parse(call.Request);
        example["responses"]![call.Status.ToString(System.Globalization.CultureInfo.InvariantCulture)] =
            call.Answer.Length == 0 ? null : JsonNode.Parse(call.Answer.Replace(folder, "/srv/golden", StringComparison.Ordinal));
    }

    private static IEnumerable<string> OperationIds() =>
        OpenApiContract.Document.Value["paths"]!.AsObject().SelectMany(path => path.Value!.AsObject()).Select(member => member.Value as JsonObject)
            .Select(operation => operation?["operationId"]?.GetValue<string>()).OfType<string>();
}
