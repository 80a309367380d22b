using System.Reflection;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.OpenApi;
using StreamService.Security;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace StreamService.Api;

/// <summary>The OpenAPI document, at <c>/openapi/v1.json</c>, and its browser at <c>/swagger</c>.</summary>
internal static class OpenApi
{
    public const string DocumentName = "v1";

    private const string BearerScheme = "bearer";

    public static void AddOpenApiDocument(this IServiceCollection services)
    {
        services.AddDocumentedForms();
        services.AddSwaggerGen(Describe);
    }

    private static void Describe(SwaggerGenOptions options)
    {
        options.SwaggerDoc(DocumentName, new OpenApiInfo
        {
            Title = "StreamService",
            Version = DocumentName,
            Description = "Streams the disks of running virtual machines: populates an overlay while the domain runs, then drops its backing link. "
                + "Sizes and offsets are bytes, times RFC 3339 in UTC, errors problem documents (RFC 9457) with a code.",
        });
        options.SupportNonNullableReferenceTypes();
        options.NonNullableReferenceTypesAsRequired();
        options.UseAllOfToExtendReferenceSchemas();
        options.CustomOperationIds(api => api.ActionDescriptor.RouteValues is var route ? $"{route["controller"]}_{route["action"]?.Replace("Async", "", StringComparison.Ordinal)}" : null);
        foreach (var assembly in new[] { typeof(OpenApi).Assembly, typeof(Qemu.Nbd.NbdClient).Assembly })
            if (Path.Combine(AppContext.BaseDirectory, $"{assembly.GetName().Name}.xml") is var comments && File.Exists(comments))
                options.IncludeXmlComments(comments);
        options.AddSecurityDefinition(BearerScheme, new OpenApiSecurityScheme
        {
            Type = SecuritySchemeType.Http,
            Scheme = "bearer",
            Description = "An API key or a token of the configured provider; see README, \"Security\". Asked for only where authentication is configured.",
        });
        options.OperationFilter<IdempotencyKeyHeader>();
        options.OperationFilter<ScopesAndLimits>();
        options.OperationFilter<ApiExamples>();
        options.SchemaFilter<NullableReferences>();
    }

    public static void UseOpenApiDocument(this WebApplication app)
    {
        app.UseSwagger(options => 
        {
            options.RouteTemplate = "openapi/{documentName}.json";
            options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        });
        app.UseSwaggerUI(options => options.SwaggerEndpoint($"/openapi/{DocumentName}.json", "StreamService"));
    }

    /// <summary>Documents which scope a call asks for, and the answers that any call may get.</summary>
    private sealed class ScopesAndLimits : IOperationFilter
    {
        public void Apply(OpenApiOperation operation, OperationFilterContext context)
        {
            operation.Responses ??= [];
            Add(StatusCodes.Status429TooManyRequests, "The caller asks too much; Retry-After tells when to come back.");
            Add(StatusCodes.Status503ServiceUnavailable, "The host, or the service's database, cannot be reached.");
            Add(StatusCodes.Status403Forbidden, "The caller lacks the scope, or is a page of another origin.");
            if (context.MethodInfo.DeclaringType!.IsDefined(typeof(AllowAnonymousAttribute), inherit: true))
                return;
            Add(StatusCodes.Status401Unauthorized, "Nobody has signed in, or not rightly.");
            var scope = context.MethodInfo.GetCustomAttribute<AuthorizeAttribute>()?.Policy ?? Scopes.StreamsRead;
            operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(BearerScheme, context.Document)] = [scope] }];

            void Add(int status, string description) => operation.Responses.TryAdd(status.ToString(System.Globalization.CultureInfo.InvariantCulture), new OpenApiResponse
            {
                Description = description,
                Content = new Dictionary<string, OpenApiMediaType>
                {
                    ["application/problem+json"] = new() { Schema = context.SchemaGenerator.GenerateSchema(typeof(ProblemDetails), context.SchemaRepository) },
                },
            });
        }
    }

    /// <summary>Documents the header on the calls that honour it.</summary>
    private sealed class IdempotencyKeyHeader : IOperationFilter
    {
        public void Apply(OpenApiOperation operation, OperationFilterContext context)
        {
            if (context.MethodInfo.GetCustomAttribute<IdempotentAttribute>() is null)
                return;
            operation.Parameters ??= [];
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = IdempotencyFilter.Header,
                In = ParameterLocation.Header,
                Description = "The same key and request answer as the first time did.",
                Schema = new OpenApiSchema { Type = JsonSchemaType.String, MinLength = 1, MaxLength = 255 },
            });
        }
    }

    /// <summary>
    /// A member that refers to another schema and may be null is that schema or null. The generator writes both at once,
    /// which no value satisfies.
    /// </summary>
    private sealed class NullableReferences : ISchemaFilter
    {
        public void Apply(IOpenApiSchema schema, SchemaFilterContext context)
        {
            foreach (var member in (schema.Properties ?? new Dictionary<string, IOpenApiSchema>()).Values.OfType<OpenApiSchema>())
                if (member is { Type: JsonSchemaType.Null, AllOf: { Count: > 0 } referred })
                {
                    member.AnyOf = [.. referred, new OpenApiSchema { Type = JsonSchemaType.Null }];
                    member.AllOf = null;
                    member.Type = null;
                }
        }
    }
}
