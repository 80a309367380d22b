using Microsoft.Extensions.Configuration;
using StreamService.Configuration;

namespace StreamService.Tests.Configuration;

public sealed class ConfigurationTests
{
    [Theory]
    [InlineData("http://127.0.0.1:5080")]
    [InlineData("http://127.9.9.9:80;http://[::1]:80")]
    [InlineData("http://localhost:5000;https://LOCALHOST:5001")]
    [InlineData("http://unix:/run/streamservice.sock")]
    [InlineData("")]
    public void Loopback_is_listened_on(string urls) => Assert.Empty(Faults(("urls", urls)));

    [Theory]
    [InlineData("http://0.0.0.0:80")]
    [InlineData("http://*:80")]
    [InlineData("http://+:80")]
    [InlineData("http://[::]:80")]
    [InlineData("http://10.0.0.1:80")]
    [InlineData("http://localhost.example.org:80")]
    [InlineData("http://streams.example.org")]
    public void Anything_else_is_refused_by_name(string url)
    {
        Assert.Contains(url, Assert.Single(Faults(("urls", $"http://127.0.0.1:1; {url}"))), StringComparison.Ordinal);
        Assert.Contains(url, Assert.Single(Faults(("Kestrel:Endpoints:Public:Url", url))), StringComparison.Ordinal);
    }

    [Fact]
    public void Open_address_names_what_to_set_and_with_authentication_is_listened_on()
    {
        Assert.Contains("StreamService:Auth:ApiKeys:0:Name, :Hash and :Scopes:0", Assert.Single(Faults(("urls", "http://0.0.0.0:80"))), StringComparison.OrdinalIgnoreCase);
        Assert.Empty(Faults(
            ("urls", "http://0.0.0.0:80"),
            ("StreamService:Auth:ApiKeys:0:Name", "ci"),
            ("StreamService:Auth:ApiKeys:0:Hash", "sha256:" + new string('a', 64)),
            ("StreamService:Auth:ApiKeys:0:Scopes:0", "streams:read")));
        Assert.Empty(Faults(("urls", "http://0.0.0.0:80"), ("StreamService:Auth:Jwt:Authority", "https://id.example"), ("StreamService:Auth:Jwt:Audience", "streamservice")));
    }

    [Theory]
    [InlineData("ApiKeys:0:Name", "")]
    [InlineData("ApiKeys:0:Hash", "sha256:short")]
    [InlineData("ApiKeys:0:Hash", "md5:0")]
    [InlineData("ApiKeys:0:Scopes:0", "streams:everything")]
    [InlineData("ApiKeys:0:Scopes", "admin", "ApiKeys:0:Scopes:0", "admin", "ApiKeys:0:Hosts:0", "h1")]
    [InlineData("ApiKeys:1:Name", "ci", "ApiKeys:1:Name", "ci", "ApiKeys:1:Hash", "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "ApiKeys:1:Scopes:0", "admin")]
    [InlineData("ApiKeys:1:Hash", "", "ApiKeys:1:Name", "twin", "ApiKeys:1:Hash", "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "ApiKeys:1:Scopes:0", "admin")]
    [InlineData("Jwt:Authority", "http://id.example", "Jwt:Authority", "http://id.example", "Jwt:Audience", "a")]
    [InlineData("Jwt:Audience", "", "Jwt:Authority", "https://id.example")]
    [InlineData("SessionLifetime", "00:00:01")]
    [InlineData("AllowedOrigins:0", "https://console.example/path")]
    public void Fault_of_authentication_names_its_setting(string named, string value, params string[] settings)
    {
        var all = new List<(string, string)>
        {
            ("StreamService:Auth:ApiKeys:0:Name", "ci"),
            ("StreamService:Auth:ApiKeys:0:Hash", "sha256:" + new string('a', 64)),
            ("StreamService:Auth:ApiKeys:0:Scopes:0", "streams:read"),
        };
        foreach (var pair in (settings.Length == 0 ? [named, value] : settings).Chunk(2))
        {
            all.RemoveAll(setting => setting.Item1 == $"StreamService:Auth:{pair[0]}");
            all.Add(($"StreamService:Auth:{pair[0]}", pair[1]));
        }
        Assert.StartsWith($"StreamService:Auth:{named} ", Assert.Single(Faults([.. all])), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Name", "")]
    [InlineData("Url", "ftp://receiver.example")]
    [InlineData("Url", "/events")]
    [InlineData("Url", "https://user:hunter2@receiver.example/")]
    [InlineData("Secret", "hunter2")]
    [InlineData("Secret", "whsec_hunter2")]
    [InlineData("Secret", "whsec_aHVudGVyMg==")]
    [InlineData("Types:0", "io.streamservice.everything")]
    [InlineData("Timeout", "00:00:00")]
    [InlineData("RetryDelay", "-00:00:01")]
    [InlineData("RetryDelayLimit", "2.00:00:00")]
    [InlineData("GiveUpAfter", "400.00:00:00")]
    public void Fault_of_a_webhook_names_its_setting_and_tells_no_secret(string named, string value)
    {
        var settings = Webhook(0);
        settings[$"StreamService:Webhooks:0:{named}"] = value;
        var fault = Assert.Single(Faults([.. settings.Select(setting => (setting.Key, setting.Value))]));
        Assert.StartsWith($"StreamService:Webhooks:0:{named} ", fault, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", fault, StringComparison.Ordinal);
        Assert.DoesNotContain("aHVudGVyMg", fault, StringComparison.Ordinal);
    }

    [Fact]
    public void Webhooks_have_names_of_their_own_and_events_a_bound()
    {
        Assert.Empty(Faults([.. Webhook(0).Select(setting => (setting.Key, setting.Value))]));
        Assert.Equal(
            ["StreamService:Events:KeepAtMost", "StreamService:Events:KeepFor", "StreamService:Traces:Endpoint", "StreamService:Webhooks:1:Name"],
            Faults([
                .. Webhook(0).Concat(Webhook(1)).Select(setting => (setting.Key, setting.Value)),
                ("StreamService:Events:KeepFor", "00:00:01"),
                ("StreamService:Events:KeepAtMost", "1"),
                ("StreamService:Traces:Endpoint", "collector:4317"),
            ]).Select(fault => fault.Split(' ')[0]).Order(StringComparer.Ordinal));
    }

    private static Dictionary<string, string> Webhook(int index) => new()
    {
        [$"StreamService:Webhooks:{index}:Name"] = "audit",
        [$"StreamService:Webhooks:{index}:Url"] = "https://receiver.example/events?token=a",
        [$"StreamService:Webhooks:{index}:Secret"] = "whsec_" + Convert.ToBase64String(new byte[32]),
    };

    [Fact]
    public void Password_in_a_hosts_address_is_refused_without_being_told()
    {
        var fault = Assert.Single(Faults(("StreamService:Hosts:0:Name", "a"), ("StreamService:Hosts:0:Uri", "qemu+libssh2://root:hunter2@host/system")));
        Assert.StartsWith("StreamService:Hosts:0:Uri has a password", fault, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", fault, StringComparison.Ordinal);
    }

    [Fact]
    public void All_open_addresses_are_named_at_once()
    {
        var faults = Faults(
            ("http_ports", "8080;8081"), ("https_ports", "8443"), ("Kestrel:Endpoints:A:Url", "http://10.0.0.1:1"), ("Kestrel:Endpoints:B:Url", "http://127.0.0.1:2"));
        foreach (var open in new[] { "http://*:8080", "http://*:8081", "https://*:8443", "http://10.0.0.1:1" })
            Assert.Single(faults, fault => fault.Contains($" {open} ", StringComparison.Ordinal));
        Assert.Equal(4, faults.Count);
    }

    [Fact]
    public void Faults_of_the_options_and_open_addresses_are_told_together()
    {
        var faults = Faults(("urls", "http://10.0.0.1:1"), ("StreamService:Hosts:0:Uri", "ftp://x"), ("StreamService:Streaming:InFlight", "99"));
        Assert.Equal(4, faults.Count);
        Assert.Contains("xml", Assert.Single(Faults(("StreamService:LogFormat", "xml"))), StringComparison.Ordinal);
    }

    [Fact]
    public void Ports_alone_count_for_nothing_where_addresses_are_given() =>
        Assert.Empty(Faults(("http_ports", "8080"), ("urls", "http://127.0.0.1:1")));

    [Fact]
    public void Times_of_migrations_have_bounds()
    {
        var faults = Faults(("StreamService:Migration:ReconnectDelay", "00:00:00"), ("StreamService:Migration:GiveUpAfter", "2.00:00:00"));
        Assert.Equal(2, faults.Count);
        Assert.Contains("ReconnectDelay", faults[0], StringComparison.Ordinal);
        Assert.Contains("GiveUpAfter", faults[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Defaults_are_valid_and_so_are_libvirt_URIs() => Assert.True(new StreamServiceOptionsValidator().Validate(null, new StreamServiceOptions
    {
        Hosts =
        [
            new() { Name = "a", Uri = "qemu:///system" },
            new() { Name = "b", Uri = "qemu:///session" },
            new() { Name = "c", Uri = "qemu+unix:///system?socket=/run/other/libvirt-sock" },
            new() { Name = "d", Uri = "qemu+ssh://root@h2/system", MigrationAddress = "10.0.0.2" },
            new() { Name = "e", Uri = "qemu+tls://h3.example/system", MigrationAddress = "h3-storage.example" },
            new() { Name = "f", Uri = "qemu+tcp://[fd00::4]/system", MigrationAddress = "fd00::4" },
            new() { Name = "g", Uri = "qemu+libssh2://h5/system?keyfile=/root/key" },
        ],
    }).Succeeded);

    [Fact]
    public void All_faults_are_listed_at_once()
    {
        var result = new StreamServiceOptionsValidator().Validate(null, new StreamServiceOptions
        {
            Hosts = [new() { Name = "a", Uri = "qemu:///system" }, new() { Name = "a", Uri = "xen:///" }, new() { Uri = "not a uri" }, new() { Name = " " }],
            Storage = new() { Provider = "Oracle", ConnectionString = "" },
            Streaming = new()
            {
                InFlight = 17,
                CheckpointBytes = 0,
                ProgressPerSecond = 5,
                CheckpointInterval = TimeSpan.Zero,
                StalledAfter = TimeSpan.FromSeconds(-1),
                RetryDelay = TimeSpan.Zero,
                RetryDelayLimit = TimeSpan.FromDays(2),
            },
        });
        foreach (var fault in new[]
        {
            "Hosts:1:Name", "Hosts:1:Uri", "Hosts:2:Name", "Hosts:2:Uri", "Hosts:3:Name", "Hosts:3:Uri", "Storage:Provider", "Storage:ConnectionString", "Streaming:InFlight",
            "Streaming:CheckpointBytes", "Streaming:ProgressPerSecond", "Streaming:CheckpointInterval", "Streaming:StalledAfter", "Streaming:RetryDelay ", "Streaming:RetryDelayLimit",
        })
            Assert.Single(result.Failures!, failure => failure.StartsWith("StreamService:" + fault, StringComparison.Ordinal));
        Assert.Equal(15, result.Failures!.Count());
    }

    [Theory]
    [InlineData("Ports", "10810")]
    [InlineData("Ports", "0-10")]
    [InlineData("Ports", "10909-10810")]
    [InlineData("Ports", "65000-65536")]
    [InlineData("Ports", "a-b")]
    [InlineData("Ports", "")]
    [InlineData("Tls:Folder", "pki")]
    public void Faults_of_exports_to_other_machines_name_their_setting(string member, string value) => Assert.StartsWith(
        $"StreamService:Migration:{member} ", Assert.Single(Faults(($"StreamService:Migration:{member}", value))), StringComparison.Ordinal);

    [Fact]
    public void Each_missing_certificate_and_a_wrong_address_are_named()
    {
        var folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "ca-cert.pem"), "");
            var faults = Faults(("StreamService:Migration:Tls:Folder", folder),
                ("StreamService:Hosts:0:Name", "a"), ("StreamService:Hosts:0:Uri", "qemu+tcp://h2/system"), ("StreamService:Hosts:0:MigrationAddress", "h2:49152"));
            Assert.Equal(3, faults.Count);
            foreach (var part in new[] { "client-cert.pem", "client-key.pem", "StreamService:Hosts:0:MigrationAddress 'h2:49152'" })
                Assert.Single(faults, fault => fault.Contains(part, StringComparison.Ordinal));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IReadOnlyList<string> Faults(params (string Key, string Value)[] settings) => StartupFaults.Find(
        new ConfigurationBuilder().AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value))).Build());
}
