using Microsoft.AspNetCore.DataProtection;
using StreamService.Configuration;
using StreamService.Hypervisors;
using StreamService.Progress;
using StreamService.Storage;
using StreamService.Storage.PostgreSql;
using StreamService.Webhooks;

namespace StreamService.Fleet;

/// <summary>Puts together who drives which host, for a service alone and for one of several replicas.</summary>
internal static class FleetServices
{
    /// <summary>A service alone, on SQLite: it drives all hosts, asks nobody and tells nobody.</summary>
    public static void AddSingleMachine(this IServiceCollection services)
    {
        services.AddSingleton<Drivers>();
        services.AddSingleton<Peers>();
        services.AddSingleton<PictureBus>();
        services.AddSingleton<WebhookTurn>();
        services.AddSingleton<ClaimHost>((_, _) => Task.FromResult<IDisposable>(NoClaim.Instance));
        services.AddHostedService<SingleMachine>();
    }

    /// <summary>One of several replicas, on PostgreSQL.</summary>
    /// <param name="fleet">Complete.</param>
    public static void AddFleet(this IServiceCollection services, FleetOptions fleet, StorageOptions storage, string redis)
    {
        services.AddSingleton(fleet);
        services.AddSingleton(storage);
        services.AddSingleton<FleetStore>();
        services.AddSingleton<Membership>();
        services.AddSingleton(provider => new Lazy<Membership>(provider.GetRequiredService<Membership>));
        services.AddSingleton<Drivers, FleetDrivers>();
        services.AddSingleton<FleetPeers>();
        services.AddSingleton<Peers>(provider => provider.GetRequiredService<FleetPeers>());
        services.AddSingleton<DriverLookup>();
        services.AddSingleton<LeaseKeeper>();
        services.AddSingleton<ClaimHost>(provider => (host, cancellationToken) => provider.GetRequiredService<LeaseKeeper>().ClaimAsync(host, cancellationToken));
        services.AddSingleton<WebhookTurn, FleetWebhookTurn>();
        services.AddHttpForwarder();
        // What one replica has sealed another one opens.
        services.AddDataProtection().SetApplicationName("StreamService").PersistKeysToDbContext<StreamDbContext>();
        if (redis.Length > 0)
        {
            services.AddSingleton(provider => ActivatorUtilities.CreateInstance<RedisPictures>(provider, redis));
            services.AddSingleton<PictureBus>(provider => provider.GetRequiredService<RedisPictures>());
            services.AddHostedService(provider => provider.GetRequiredService<RedisPictures>());
        }
        else
            services.AddSingleton<PictureBus>();
        services.AddHostedService<FleetBudgets>();
        services.AddHostedService(provider => provider.GetRequiredService<Membership>());
        services.AddHostedService(provider => provider.GetRequiredService<LeaseKeeper>());
    }
}
