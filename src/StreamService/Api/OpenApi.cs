using System.Reflection;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace StreamService.Api;

/// <summary>The OpenAPI document, at <c>/openapi/v1.json</c>, and its browser at <c>/swagger</c>.</summary>
internal static class OpenApi
{
    public const string DocumentName = "v1";

    public static void AddOpenApiDocument(this IServiceCollection services) => services.AddSwaggerGen(options =>
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
        options.OperationFilter<IdempotencyKeyHeader>();
        options.SchemaFilter<ClosedRequests>();
        options.SchemaFilter<NullableReferences>();
    });

    public static void UseOpenApiDocument(this WebApplication app)
    {
        app.UseSwagger(options => 
        {
            options.RouteTemplate = "openapi/{documentName}.json";
            options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        });
        app.UseSwaggerUI(options => options.SwaggerEndpoint($"/openapi/{DocumentName}.json", "StreamService"));
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

    /// <summary>Request bodies refuse members that they do not know.</summary>
    private sealed class ClosedRequests : ISchemaFilter
    {
        private static readonly Type[] Closed = [typeof(StreamRequest), typeof(StreamChangeRequest), typeof(BudgetRequest), typeof(BudgetWindowRequest),
            typeof(DeploymentRequest), typeof(ProfileRequest), typeof(ProfileExtentRequest)];

        public void Apply(IOpenApiSchema schema, SchemaFilterContext context)
        {
            if (schema is OpenApiSchema body && Closed.Contains(context.Type))
                body.AdditionalPropertiesAllowed = false;
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
