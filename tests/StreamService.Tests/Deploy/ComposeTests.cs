using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace StreamService.Tests.Deploy;

/// <summary>What can be said of <c>deploy/compose.yaml</c>, the Dockerfile and the unit's example without Docker and systemd.</summary>
public sealed partial class ComposeTests
{
    private static readonly JsonObject Compose = ComposeFile.Read();

    private static readonly IReadOnlyDictionary<string, JsonObject> Replicas = ComposeFile.Replicas(Compose);

    private static readonly string Dockerfile = File.ReadAllText(Path.Combine(ComposeFile.Root, "Dockerfile"));

    [Fact]
    public void Every_replicas_environment_is_settings_that_the_service_has_and_takes()
    {
        Assert.True(Replicas.Count > 1);
        var keys = ReplicaSettings.ReadFile("deploy/kubernetes/base/secret.example.env").Where(line => line.Key.Contains("ApiKeys", StringComparison.Ordinal));
        Assert.All(Replicas.Values, replica => Assert.Empty(ReplicaSettings.Faults(ComposeFile.Environment(replica).Concat(keys).ToDictionary())));
    }

    [Fact]
    public void Replicas_differ_in_name_and_address_and_share_the_rest()
    {
        foreach (var (name, replica) in Replicas)
            Assert.Equal(name, new Uri(ComposeFile.Environment(replica)["StreamService__Fleet__Url"]).Host);
        Assert.Equal(Replicas.Count, Replicas.Values.Select(replica => ComposeFile.Environment(replica)["StreamService__Fleet__Name"]).Distinct().Count());
        Assert.Single(Replicas.Values.Select(replica => string.Join('\n', ComposeFile.Environment(replica)
            .Where(variable => !variable.Key.StartsWith("StreamService__Fleet__", StringComparison.Ordinal)).Select(variable => $"{variable.Key}={variable.Value}").Order(StringComparer.Ordinal))).Distinct());
    }

    [Fact]
    public void Image_and_ports_are_the_Dockerfiles()
    {
        var image = BuildLine().Match(Dockerfile).Groups[1].Value;
        var exposed = int.Parse(ExposeLine().Match(Dockerfile).Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
        foreach (var replica in Replicas.Values)
        {
            Assert.Equal(image, replica["image"]!.ToString());
            var environment = ComposeFile.Environment(replica);
            Assert.Equal(exposed, ReplicaSettings.PortOf(environment["ASPNETCORE_URLS"]));
            Assert.Equal(exposed, new Uri(environment["StreamService__Fleet__Url"]).Port);
            Assert.Equal(exposed, ReplicaSettings.PortOf(Assert.Single(replica["ports"]!.AsArray())!.ToString()));
            Assert.StartsWith("127.0.0.1:", replica["ports"]![0]!.ToString(), StringComparison.Ordinal);
        }
        Assert.Equal(Replicas.Count, Replicas.Values.Select(replica => replica["ports"]![0]!.ToString()).Distinct().Count());
    }

    [Fact]
    public void What_services_name_is_there()
    {
        var services = Compose["services"]!.AsObject();
        var secrets = Compose["secrets"]!.AsObject();
        var volumes = Compose["volumes"]!.AsObject();
        foreach (var (name, service) in services)
        {
            Assert.All(service!["depends_on"]?.AsObject() ?? [], needed => Assert.NotNull(services[needed.Key]!["healthcheck"]));
            Assert.All(service["secrets"]?.AsArray() ?? [], secret => Assert.True(secrets.ContainsKey(secret!.ToString()), $"{name} names a secret that is not there: {secret}"));
            foreach (var path in SecretPath().Matches(service.ToString()).Select(match => match.Groups[1].Value))
                Assert.Contains(path, service["secrets"]!.AsArray().Select(secret => secret!.ToString()));
            foreach (var volume in (service["volumes"]?.AsArray() ?? []).Select(volume => volume!.ToString().Split(':')[0]).Where(source => !source.StartsWith('/')))
                Assert.True(volumes.ContainsKey(volume), $"{name} names a volume that is not there: {volume}");
        }
        foreach (var replica in Replicas.Values)
        {
            var environment = ComposeFile.Environment(replica);
            Assert.Contains(HostOf().Match(environment["StreamService__Storage__ConnectionString"]).Groups[1].Value, services.Select(service => service.Key));
            Assert.Contains(environment["StreamService__Redis"].Split(':')[0], services.Select(service => service.Key));
        }
    }

    [Fact]
    public void Example_of_the_systemd_unit_is_settings_that_the_service_has_and_takes() =>
        Assert.Empty(ReplicaSettings.Faults(ReplicaSettings.ReadFile("deploy/fleet.example.env")));

    [GeneratedRegex(@"docker build -t (\S+) \.")]
    private static partial Regex BuildLine();

    [GeneratedRegex(@"^EXPOSE (\d+)$", RegexOptions.Multiline)]
    private static partial Regex ExposeLine();

    [GeneratedRegex(@"/run/secrets/(\w+)")]
    private static partial Regex SecretPath();

    [GeneratedRegex(@"Host=([^;]+)")]
    private static partial Regex HostOf();
}
