using System.Text.Json;
using System.Xml.Linq;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Dependencies;

/// <summary>What the service is delivered with: under which licences, and with no weakness that is known.</summary>
public sealed class DependencyTests
{
    /// <summary>Licences that ask for no more than that they are told.</summary>
    private static readonly string[] Allowed = ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "Unlicense", "PostgreSQL"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>One package; it came as a file, or with the page.</summary>
    private sealed record Package(string Name, string Version, string Licence);

    [Fact]
    public async Task Every_package_that_is_delivered_has_a_licence_that_may_be()
    {
        var packages = NuGetPackages().Concat(NpmPackages()).OrderBy(package => package.Name, StringComparer.OrdinalIgnoreCase).ToList();
        Assert.Contains(packages, package => package.Name == "Serilog");
        Assert.Contains(packages, package => package.Name == "lit-html");

        var list = Path.Combine(Repository.Root, "TestResults", "licences.md");
        Directory.CreateDirectory(Path.GetDirectoryName(list)!);
        await File.WriteAllLinesAsync(list, ["| package | version | licence |", "| --- | --- | --- |", .. packages.Select(package => $"| {package.Name} | {package.Version} | {package.Licence} |")], Token);

        Assert.DoesNotContain(packages, package => !Allowed.Contains(package.Licence));
    }

    [Fact]
    [Trait("Category", "Slow")]
    public async Task No_package_has_a_weakness_that_its_source_knows_of()
    {
        string answer;
        try
        {
            answer = await Shell.RunAsync("dotnet", "list", Path.Combine(Repository.Root, "StreamService.sln"), "package", "--vulnerable", "--include-transitive", "--format", "json");
        }
        catch (InvalidOperationException exception)
        {
            Requires.Missing($"The package source does not answer: {exception.Message}");
            return;
        }
        var projects = JsonDocument.Parse(answer).RootElement.GetProperty("projects").EnumerateArray().ToList();
        Assert.Contains(projects, project => project.GetProperty("path").GetString()!.EndsWith("StreamService.csproj", StringComparison.Ordinal));
        Assert.DoesNotContain(projects, project => project.TryGetProperty("frameworks", out _));
    }

    /// <summary>All that the service's projects restore; build tools among them, whose licences are no worse for being looked at.</summary>
    private static IEnumerable<Package> NuGetPackages()
    {
        foreach (var project in new[] { "StreamService", "StreamService.Qemu", "StreamService.Client", "StreamService.Ctl" })
        {
            using var assets = JsonDocument.Parse(File.ReadAllText(Path.Combine(Repository.Root, "src", project, "obj", "project.assets.json")));
            var folders = assets.RootElement.GetProperty("packageFolders").EnumerateObject().Select(folder => folder.Name).ToList();
            foreach (var library in assets.RootElement.GetProperty("libraries").EnumerateObject().Where(library => library.Value.GetProperty("type").GetString() == "package"))
            {
                var path = library.Value.GetProperty("path").GetString()!;
                var nuspec = folders.Select(folder => Path.Combine(folder, path)).Where(Directory.Exists).SelectMany(folder => Directory.GetFiles(folder, "*.nuspec")).First();
                var metadata = XDocument.Load(nuspec).Root!.Elements().First(element => element.Name.LocalName == "metadata");
                var licence = metadata.Elements().FirstOrDefault(element => element.Name.LocalName == "license");
                var (name, version) = library.Name.Split('/') is [var id, var number] ? (id, number) : throw new FormatException(library.Name);
                yield return new Package(name, version, (string?)licence?.Attribute("type") == "expression" ? licence!.Value : licence?.Value ?? "not told");
            }
        }
    }

    /// <summary>What is in the page; its tools stay behind.</summary>
    private static IEnumerable<Package> NpmPackages()
    {
        using var file = JsonDocument.Parse(File.ReadAllText(Path.Combine(Repository.Root, "src", "StreamService.Dashboard", "package-lock.json")));
        foreach (var package in file.RootElement.GetProperty("packages").EnumerateObject())
            if (package.Name.Length > 0 && !package.Value.TryGetProperty("dev", out _))
                yield return new Package(
                    package.Name[(package.Name.LastIndexOf("node_modules/", StringComparison.Ordinal) + "node_modules/".Length)..],
                    package.Value.GetProperty("version").GetString()!,
                    package.Value.TryGetProperty("license", out var licence) ? licence.GetString()! : "not told");
    }
}
