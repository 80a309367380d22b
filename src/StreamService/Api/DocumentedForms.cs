using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.Formatters;
using Microsoft.AspNetCore.Mvc.ModelBinding.Binders;

namespace StreamService.Api;

/// <summary>
/// Values have the forms of the OpenAPI document where the framework knows more of them; answers are <c>application/json</c>, and
/// <c>application/problem+json</c> for errors, whatever a caller says that it accepts.
/// </summary>
internal static class DocumentedForms
{
    public static void AddDocumentedForms(this IServiceCollection services)
    {
        services.Configure<MvcOptions>(options =>
        {
            // Of its own the framework also writes text/json, and any application/…+json that it is asked for.
            var types = options.OutputFormatters.OfType<SystemTextJsonOutputFormatter>().Single().SupportedMediaTypes;
            types.Clear();
            types.Add("application/json");
            types.Add("application/problem+json");
            // It reads "1,2" as twelve; without it numbers are read as all else is.
            options.ModelBinderProviders.Remove(options.ModelBinderProviders.OfType<FloatingPointTypeModelBinderProvider>().Single());
        });
        services.AddSingleton<IProblemDetailsWriter, ProblemsForAll>();
    }

    /// <summary>
    /// The last writer that is asked. The framework's own decline where the caller accepts no JSON, a browser for example; the error
    /// would then lose its code, or be told as plain text.
    /// </summary>
    private sealed class ProblemsForAll : IProblemDetailsWriter
    {
        public bool CanWrite(ProblemDetailsContext context) => context.HttpContext.Request.Headers.Accept.Count > 0;

        public ValueTask WriteAsync(ProblemDetailsContext context)
        {
            // Nothing said accepts everything.
            context.HttpContext.Request.Headers.Accept = default;
            return context.HttpContext.RequestServices.GetRequiredService<IProblemDetailsService>().WriteAsync(context);
        }
    }
}
