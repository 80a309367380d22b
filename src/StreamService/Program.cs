using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding.Metadata;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Serilog;
using StreamService;
using StreamService.Api;
using StreamService.Configuration;
using StreamService.Deployment;
using StreamService.Deployment.Images;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;
using StreamService.Streaming.Profiles;

// The whole composition, to be read from top to bottom.
var builder = WebApplication.CreateBuilder(args);

// Configuration: every fault at once, before anything starts.
if (StartupFaults.Find(builder.Configuration) is { Count: > 0 } faults)
{
    foreach (var fault in faults)
        await Console.Error.WriteLineAsync(fault);
    return StartupFaults.ExitCode;
}
builder.Services.AddOptions<StreamServiceOptions>().BindConfiguration(StreamServiceOptions.Section);

// Logging.
builder.Services.AddSerilog((services, logger) => Logging.Configure(
    logger, builder.Configuration, services.GetRequiredService<IOptions<StreamServiceOptions>>().Value.LogFormat));
builder.Services.AddSingleton(TimeProvider.System);

// Storage.
builder.Services.AddDbContextFactory<StreamDbContext>((services, options) =>
    options.UseSqlite(services.GetRequiredService<IOptions<StreamServiceOptions>>().Value.Storage.ConnectionString));
builder.Services.AddSingleton<StreamStore>();
builder.Services.AddSingleton<BudgetStore>();

// Hypervisors, one for each configured host.
builder.Services.AddSingleton<HypervisorFactory>();
builder.Services.AddSingleton(services => new HostDirectory(services.GetRequiredService<HypervisorFactory>().CreateAll()));

// Streaming: what streams share, then the streams.
builder.Services.AddSingleton<BudgetRegistry>();
builder.Services.AddSingleton(services => new StreamTurns(StreamCaps.Of(services.GetRequiredService<IOptions<StreamServiceOptions>>().Value.Streaming)));
builder.Services.AddSingleton<StreamLimits>();
builder.Services.AddSingleton<SectorStepper>();
builder.Services.AddSingleton<StreamManager>();
builder.Services.AddHostedService<StreamWorker>();

// Deployment: domains from central images, and what streams know of those.
builder.Services.AddSingleton<ImageCatalog>();
builder.Services.AddSingleton<ProfileStore>();
builder.Services.AddSingleton<ImageProfiles>();
builder.Services.AddSingleton<FindProfile>(services => services.GetRequiredService<ImageProfiles>().FindAsync);
builder.Services.AddSingleton<DeploymentStore>();
builder.Services.AddSingleton<ProfileLearner>();
builder.Services.AddSingleton<OverlaySeeds>();
builder.Services.AddSingleton<Deployer>();
builder.Services.AddHostedService<DeploymentWorker>();

// Migration: domains to other hosts, their disks streamed behind them.
builder.Services.AddSingleton<MigrationStore>();
builder.Services.AddSingleton<SourceExports>();
builder.Services.AddSingleton<MigrationPreflight>();
builder.Services.AddSingleton<MigrationManager>();
builder.Services.AddHostedService<MigrationWorker>();

// Progress.
builder.Services.AddSingleton<Subscribers>();
builder.Services.AddHostedService<ProgressPublisher>();
builder.Services.AddSignalR().AddJsonProtocol(options => ConfigureJson(options.PayloadSerializerOptions));

// The API.
builder.Services.AddControllers(options =>
    {
        options.SuppressAsyncSuffixInActionNames = false;
        options.ModelBinderProviders.Insert(0, new EnumNameBinder.Provider());
        // Every fault at once, and each under the name that the caller knows.
        options.ValidateComplexTypesIfChildValidationFails = true;
        options.ModelMetadataDetailsProviders.Add(new SystemTextJsonValidationMetadataProvider());
    })
    .AddJsonOptions(options => ConfigureJson(options.JsonSerializerOptions))
    .ConfigureApiBehaviorOptions(options => options.InvalidModelStateResponseFactory = RequestFaults.Answer);
builder.Services.AddOptions<MvcOptions>().Configure<IOptions<JsonOptions>>((mvc, json) =>
{
    mvc.InputFormatters.Clear();
    mvc.InputFormatters.Add(new StrictJsonInputFormatter(json.Value.JsonSerializerOptions));
});
builder.Services.AddProblemDetails(options => options.CustomizeProblemDetails = StreamProblems.NameFrameworkProblem);
builder.Services.AddExceptionHandler<StreamProblemHandler>();
builder.Services.AddOpenApiDocument();
builder.Services.AddHealthChecks().AddCheck<ReadinessCheck>("ready", tags: [ReadinessCheck.Tag]);

var app = builder.Build();

await using (var context = await app.Services.GetRequiredService<IDbContextFactory<StreamDbContext>>().CreateDbContextAsync())
    await context.Database.MigrateAsync();

// Outermost, so that it sees the status that an error became.
app.UseSerilogRequestLogging(options => options.GetLevel = RequestLogLevel.Of);
app.UseExceptionHandler();
app.UseStatusCodePages();
app.UseDefaultFiles();
app.UseStaticFiles();
app.MapControllers();
app.MapHub<StreamHub>("/hubs/streams");
app.MapHealthChecks("/healthz", new() { Predicate = _ => false });
app.MapHealthChecks("/readyz", new() { Predicate = check => check.Tags.Contains(ReadinessCheck.Tag), ResponseWriter = ReadinessCheck.WriteAsync });
app.UseOpenApiDocument();

await app.RunAsync();
return 0;

static void ConfigureJson(JsonSerializerOptions options)
{
    options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
    options.Converters.Add(new UtcTimeConverter());
    options.UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow;
    options.NumberHandling = JsonNumberHandling.Strict;
}

/// <summary>The entry point, named so that tests can host it.</summary>
public sealed partial class Program;
