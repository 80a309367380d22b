using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Mvc.Testing;
using StreamService.Tests.Api;

namespace StreamService.Tests.Security;

/// <summary>The whole service with an API key for each scope, and what a test adds.</summary>
internal static class GuardedService
{
    /// <summary>Clients without cookies of their own, that follow nothing.</summary>
    public static readonly WebApplicationFactoryClientOptions Plain = new() { HandleCookies = false, AllowAutoRedirect = false };

    /// <summary>The key of a name: what a test needs of it is that it is known.</summary>
    public static string KeyOf(string name) => $"ssk_{name.Replace(':', '-')}";

    public static HostedService WithKeys(params string[] names)
    {
        var service = new HostedService();
        for (var i = 0; i < names.Length; i++)
            service.AddKey(i, names[i], names[i]);
        return service;
    }

    public static void AddKey(this HostedService service, int index, string name, params string[] scopes)
    {
        service.Settings[$"StreamService:Auth:ApiKeys:{index}:Name"] = name;
        service.Settings[$"StreamService:Auth:ApiKeys:{index}:Hash"] = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(KeyOf(name))));
        for (var i = 0; i < scopes.Length; i++)
            service.Settings[$"StreamService:Auth:ApiKeys:{index}:Scopes:{i}"] = scopes[i];
    }

    public static HttpClient CreateClient(this HostedService service, string? keyOf)
    {
        var client = service.CreateClient(Plain);
        if (keyOf is not null)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", KeyOf(keyOf));
        return client;
    }
}
