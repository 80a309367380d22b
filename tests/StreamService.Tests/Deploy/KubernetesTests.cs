using k8s;
using k8s.Models;
using YamlDotNet.RepresentationModel;

namespace StreamService.Tests.Deploy;

/// <summary>What can be said of <c>deploy/kubernetes</c> without a cluster: every member is one of Kubernetes' API, and what is named is there.</summary>
public sealed class KubernetesTests : IDisposable
{
    private static readonly string Folder = Path.Combine(ComposeFile.Root, "deploy", "kubernetes");

    /// <summary>Where certificates are looked for.</summary>
    private readonly string _tls = Directory.CreateTempSubdirectory("streamservice-test-").FullName;

    public static TheoryData<string> Overlays => ["central", "on-hosts"];

    public void Dispose() => Directory.Delete(_tls, recursive: true);

    [Theory]
    [MemberData(nameof(Overlays))]
    public void Every_file_is_used_and_of_Kubernetes_own_schema(string overlay)
    {
        var used = ResourceFiles(overlay).ToList();
        var there = new[] { "base", overlay }.SelectMany(folder => Directory.GetFiles(Path.Combine(Folder, folder), "*.yaml")).Where(file => Path.GetFileName(file) != "kustomization.yaml");
        Assert.Equal(there.Order(StringComparer.Ordinal), used.Order(StringComparer.Ordinal));
        Assert.Equal(
            ["ConfigMap", overlay == "central" ? "Deployment" : "DaemonSet", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"],
            Load(overlay).Select(resource => resource.Kind).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Schema_refuses_a_member_that_Kubernetes_does_not_have() =>
        Assert.ThrowsAny<Exception>(() => KubernetesYaml.LoadAllFromString("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  sesionAffinity: ClientIP\n", strict: true));

    [Theory]
    [MemberData(nameof(Overlays))]
    public void Environment_is_settings_that_the_service_has_and_takes(string overlay)
    {
        var resources = Load(overlay);
        var container = Container(resources);
        var environment = new Dictionary<string, string>();
        foreach (var source in container.EnvFrom)
            foreach (var (name, value) in source.SecretRef is { } secret ? Generated("secretGenerator", secret.Name)
                : resources.OfType<V1ConfigMap>().SingleOrDefault(map => map.Metadata.Name == source.ConfigMapRef.Name)?.Data ?? Generated("configMapGenerator", source.ConfigMapRef.Name))
                environment[name] = value;
        foreach (var variable in container.Env)
            environment[variable.Name] = variable.Value?.Replace("$(POD_IP)", environment["POD_IP"], StringComparison.Ordinal) ?? variable.ValueFrom.FieldRef.FieldPath switch
            {
                "status.podIP" => "10.0.0.9",
                "metadata.name" => "streamservice-central-5d8f7c6b9-abcde",
                "spec.nodeName" => "node-1.example",
                var other => throw new InvalidOperationException($"Nobody knows {other}."),
            };
        // The certificates are where they are mounted, under the names that the secret gives them.
        Assert.Equal(container.VolumeMounts.First(mount => mount.Name == "tls").MountPath, environment["StreamService__Migration__Tls__Folder"]);
        foreach (var file in ((YamlSequenceNode)Generator("secretGenerator", "streamservice-tls")["files"]).Select(file => file.ToString()))
            File.WriteAllText(Path.Combine(_tls, Path.GetFileName(file)), "");
        environment["StreamService__Migration__Tls__Folder"] = _tls;

        Assert.Empty(ReplicaSettings.Faults(environment));
        var port = Assert.Single(container.Ports).ContainerPort;
        Assert.Equal(port, ReplicaSettings.PortOf(environment["ASPNETCORE_URLS"]));
        Assert.Equal(port, new Uri(environment["StreamService__Fleet__Url"]).Port);
        Assert.NotEmpty(ReplicaSettings.Options(environment).Hosts);

        IDictionary<string, string> Generated(string generator, string name) => ((YamlSequenceNode)Generator(generator, name)["envs"])
            // The secret itself is not in the repository.
            .SelectMany(file => ReplicaSettings.ReadFile(Found(file.ToString().Replace("secret.env", "secret.example.env", StringComparison.Ordinal)))).ToDictionary();

        YamlMappingNode Generator(string generator, string name) => new[] { "base", overlay }.Select(Kustomization)
            .Where(file => file.Children.ContainsKey(generator)).SelectMany(file => (YamlSequenceNode)file[generator]).Cast<YamlMappingNode>()
            .Single(entry => entry["name"].ToString() == name);

        string Found(string file) => new[] { "base", overlay }.Select(folder => Path.Combine(Folder, folder, file)).First(File.Exists);
    }

    [Theory]
    [MemberData(nameof(Overlays))]
    public void Probes_ports_volumes_and_selectors_fit_together(string overlay)
    {
        var resources = Load(overlay);
        var pod = PodTemplate(resources);
        var container = Container(resources);
        foreach (var (probe, path) in new[] { (container.StartupProbe, "/healthz"), (container.LivenessProbe, "/healthz"), (container.ReadinessProbe, "/readyz") })
        {
            Assert.Equal(path, probe.HttpGet.Path);
            Assert.Contains(container.Ports, port => port.Name == probe.HttpGet.Port.Value);
        }
        // A replica that waits for its database for a minute is not ended for it, nor one whose database is away.
        Assert.True(container.StartupProbe.PeriodSeconds * container.StartupProbe.FailureThreshold > 60);
        Assert.Equal("streamservice", container.Image);
        Assert.All(container.VolumeMounts, mount => Assert.Contains(pod.Spec.Volumes, volume => volume.Name == mount.Name));
        Assert.Contains(container.Ports, port => port.Name == Assert.Single(resources.OfType<V1Service>().Single().Spec.Ports).TargetPort.Value);
        foreach (var selector in new[]
        {
            resources.OfType<V1Service>().Single().Spec.Selector,
            resources.OfType<V1NetworkPolicy>().Single().Spec.PodSelector.MatchLabels,
            resources.OfType<V1PodDisruptionBudget>().Single().Spec.Selector.MatchLabels,
            resources.OfType<V1Deployment>().SingleOrDefault()?.Spec.Selector.MatchLabels ?? resources.OfType<V1DaemonSet>().Single().Spec.Selector.MatchLabels,
        })
            Assert.All(selector, label => Assert.Equal(label.Value, pod.Metadata.Labels[label.Key]));
        Assert.Equal(resources.OfType<V1ServiceAccount>().Single().Metadata.Name, pod.Spec.ServiceAccountName);
        Assert.True(pod.Spec.SecurityContext.RunAsNonRoot);
        Assert.True(container.SecurityContext is { ReadOnlyRootFilesystem: true, AllowPrivilegeEscalation: false } && container.SecurityContext.Capabilities.Drop is ["ALL"]);
    }

    private static V1PodTemplateSpec PodTemplate(IReadOnlyList<IKubernetesObject> resources) =>
        resources.OfType<V1Deployment>().SingleOrDefault()?.Spec.Template ?? resources.OfType<V1DaemonSet>().Single().Spec.Template;

    private static V1Container Container(IReadOnlyList<IKubernetesObject> resources) => Assert.Single(PodTemplate(resources).Spec.Containers);

    private static List<IKubernetesObject> Load(string overlay) =>
        [.. ResourceFiles(overlay).SelectMany(file => KubernetesYaml.LoadAllFromString(File.ReadAllText(file), strict: true)).Cast<IKubernetesObject>()];

    private static IEnumerable<string> ResourceFiles(string folder) => ((YamlSequenceNode)Kustomization(folder)["resources"]).Select(resource => resource.ToString())
        .SelectMany(resource => resource.StartsWith("../", StringComparison.Ordinal) ? ResourceFiles(resource[3..]) : [Path.Combine(Folder, folder, resource)]);

    private static YamlMappingNode Kustomization(string folder)
    {
        using var text = File.OpenText(Path.Combine(Folder, folder, "kustomization.yaml"));
        var stream = new YamlStream();
        stream.Load(text);
        return (YamlMappingNode)stream.Documents[0].RootNode;
    }
}
