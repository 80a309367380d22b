using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Logging;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>
/// A web server on a port of its own: the files at <c>/store</c>; at <c>/whole</c> without ranges; answers that are none at
/// <c>/moved</c>, <c>/broken</c> and <c>/shut</c>.
/// </summary>
internal sealed class ImageWebServer(WebApplication application) : IAsyncDisposable
{
    public string Address => application.Urls.Single() + "/";

    public static async Task<ImageWebServer> StartAsync(string folder)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var application = builder.Build();
        application.UseStaticFiles(new StaticFileOptions { RequestPath = "/store", FileProvider = new PhysicalFileProvider(folder), ServeUnknownFileTypes = true });
        application.MapMethods("/whole/{name}", ["GET", "HEAD"], (string name) => Results.File(Path.Combine(folder, name), enableRangeProcessing: false));
        application.MapMethods("/moved/{name}", ["GET", "HEAD"], (string name) => Results.Redirect($"/store/{name}"));
        application.MapMethods("/broken/{name}", ["GET", "HEAD"], () => Results.StatusCode(StatusCodes.Status500InternalServerError));
        application.MapMethods("/shut/{name}", ["GET", "HEAD"], () => Results.StatusCode(StatusCodes.Status403Forbidden));
        await application.StartAsync();
        return new ImageWebServer(application);
    }

    public ValueTask DisposeAsync() => application.DisposeAsync();
}
