using System.Data.Common;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.HostFiltering;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding.Metadata;
using Microsoft.Extensions.Options;
using Serilog;
using StreamService;
using StreamService.Api;
using StreamService.Configuration;
using StreamService.Deployment;
using StreamService.Deployment.Images;
using StreamService.Fleet;
using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Progress;
using StreamService.Security;
using StreamService.Storage;
using StreamService.Streaming;
using StreamService.Streaming.Budgets;
using StreamService.Streaming.Profiles;
using StreamService.Telemetry;
using StreamService.Webhooks;

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
var settings = builder.Configuration.GetSection(StreamServiceOptions.Section).Get<StreamServiceOptions>() ?? new();

// Logging.
builder.Services.AddSerilog((_, logger) => Logging.Configure(logger, builder.Configuration, settings.LogFormat, settings.AuditFile), preserveStaticLogger: true);
builder.Services.AddSingleton(TimeProvider.System);

// Storage.
builder.Services.AddDatabase(settings.Storage);
builder.Services.AddSingleton<StreamStore>();
builder.Services.AddSingleton<BudgetStore>();
builder.Services.AddSingleton<EventStore>();
builder.Services.AddHostedService<EventKeeper>();

// Hypervisors, one for each configured host.
builder.Services.AddSingleton<HypervisorFactory>();
builder.Services.AddSingleton(services => new HostDirectory(services.GetRequiredService<HypervisorFactory>().CreateAll(), services.GetRequiredService<Drivers>()));
builder.Services.AddSingleton<HostTerms>();

// Streaming: what streams share, then the streams.
builder.Services.AddSingleton<BudgetRegistry>();
builder.Services.AddSingleton(services => new StreamTurns(StreamCaps.Of(services.GetRequiredService<IOptions<StreamServiceOptions>>().Value.Streaming)));
builder.Services.AddSingleton<StreamLimits>();
builder.Services.AddSingleton<SectorStepper>();
builder.Services.AddSingleton<StreamManager>();
// Before the first stream is taken up, so that it hears of that.
builder.Services.AddHostedService(services => services.GetRequiredService<WebhookWorker>());

// Who drives which host: this service all of them, or each replica some.
builder.Services.AddSingleton<HostDriver>();
if (settings.Storage.IsPostgreSql)
    builder.Services.AddFleet(settings.Fleet.Complete(builder.Configuration), settings.Storage, settings.Redis);
else
    builder.Services.AddSingleMachine();

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

// Webhooks: whoever is configured is told.
builder.Services.AddSingleton<WebhookEvents>();
builder.Services.AddSingleton<WebhookSender>();
builder.Services.AddSingleton<WebhookWorker>();

// Security: who calls, how much, and what of it is written down.
builder.WebHost.ConfigureKestrel(kestrel =>
{
    kestrel.AddServerHeader = false;
    kestrel.Limits.MaxRequestBodySize = settings.RateLimit.LargestBody;
});
builder.Services.AddCallers(settings.Auth);
builder.Services.AddScoped<VisibleHosts>();
builder.Services.AddRateLimits(settings.RateLimit);
builder.Services.AddSingleton<Audit>();
builder.Services.AddCors(cors => cors.AddDefaultPolicy(policy => policy.WithOrigins([.. settings.Auth.AllowedOrigins]).AllowAnyHeader().AllowAnyMethod()));
// Without authentication a page that has its own name resolved to the loopback address is kept out by the name it asks for.
if (!settings.Auth.IsConfigured && builder.Configuration["AllowedHosts"] is null)
    builder.Services.Configure<HostFilteringOptions>(filter => filter.AllowedHosts = ["localhost", "127.0.0.1", "[::1]"]);

// Progress.
builder.Services.AddSingleton<Subscribers>();
builder.Services.AddHostedService<ProgressPublisher>();
builder.Services.AddSignalR().AddJsonProtocol(options => ConfigureJson(options.PayloadSerializerOptions));

// Metrics and traces.
builder.Services.AddTelemetry(builder.Configuration, settings.Traces);

// The API.
builder.Services.AddControllers(options =>
    {
        options.SuppressAsyncSuffixInActionNames = false;
        options.Filters.Add<AuditedBody>();
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
builder.Services.AddDashboardFiles();
builder.Services.AddHealthChecks().AddCheck<ReadinessCheck>("ready", tags: [ReadinessCheck.Tag]);

var app = builder.Build();

try
{
    await app.Services.GetRequiredService<StreamDatabase>().PrepareAsync(CancellationToken.None);
}
catch (DbException exception)
{
    await Console.Error.WriteLineAsync($"The database cannot be used: {exception.Message} {app.Services.GetRequiredService<StreamDatabase>().Advice}");
    return exception.IsTransient ? StartupFaults.TryAgainExitCode : StartupFaults.ExitCode;
}

// Outermost, so that it sees the status that an error became.
app.UseSerilogRequestLogging(options =>
{
    options.Logger = app.Services.GetRequiredService<Serilog.ILogger>();
    options.GetLevel = RequestLogLevel.Of;
});
app.Use((context, next) => context.RequestServices.GetRequiredService<Audit>().InvokeAsync(context, next));
app.UseSecurityHeaders();
app.UseExceptionHandler();
app.UseStatusCodePages();
app.UseForeignOriginGuard(settings.Auth);
app.UseDashboardFiles();
app.UseOpenApiDocument();
app.UseRouting();
app.UseCors();
app.UseAuthentication();
app.UseRateLimiter();
app.UseAuthorization();
if (settings.Storage.IsPostgreSql)
    app.UseMiddleware<ForwardToDriver>();
app.MapControllers();
app.MapHub<StreamHub>("/hubs/streams", options => options.CloseOnAuthenticationExpiration = true);
app.MapMetrics();
app.MapHealthChecks("/healthz", new() { Predicate = _ => false }).AllowAnonymous().DisableRateLimiting();
app.MapHealthChecks("/readyz", new() { Predicate = check => check.Tags.Contains(ReadinessCheck.Tag), ResponseWriter = ReadinessCheck.WriteAsync }).AllowAnonymous().DisableRateLimiting();

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
