using StreamService.Benchmarks;

if (args is [] or ["--help" or "-h"])
{
    Console.WriteLine(BenchOptions.Usage);
    return args is [] ? 2 : 0;
}
// The other end of the hub benchmark, which starts it.
if (args is ["hub-clients", .. var more])
{
    await HubClients.RunAsync(more);
    return 0;
}
BenchOptions options;
try
{
    options = BenchOptions.Parse(args);
}
catch (FormatException fault)
{
    Console.Error.WriteLine($"{fault.Message}\n{BenchOptions.Usage}");
    return 2;
}
if (options.What == "soak")
    return await Soak.RunAsync(options) ? 0 : 1;
if (options.What is "fleet" or "fleet-load")
    return await FleetBenchmark.RunAsync(options) ? 0 : 1;
// These bring their own host.
if (options.What is "impact" or "fairness" or "daemons" or "hub" or "dashboard" or "deploy" or "migrate")
{
    await (options.What switch
    {
        "impact" => GuestImpactBenchmark.RunAsync(options),
        "fairness" => FairnessBenchmark.RunAsync(options),
        "hub" => HubBenchmark.RunAsync(options),
        "dashboard" => DashboardBenchmark.RunAsync(options),
        "deploy" => DeploymentBenchmark.RunAsync(options),
        "migrate" => MigrationBenchmark.RunAsync(options),
        _ => DaemonsBenchmark.RunAsync(options),
    });
    return 0;
}
await using var bench = await Workbench.StartAsync(options);
await (options.What switch
{
    "stream" => StreamBenchmark.RunAsync(bench),
    "steps" => StepsBenchmark.RunAsync(bench),
    "cost" => CostBenchmark.RunAsync(bench),
    _ => PaceBenchmark.RunAsync(bench),
});
return 0;
