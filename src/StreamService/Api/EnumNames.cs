using System.Text.Json;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace StreamService.Api;

/// <summary>The names by which enums travel, in bodies and in queries alike: camelCase and exact, never numbers, never several at once.</summary>
internal static class EnumNames
{
    /// <summary>What the text that <paramref name="isText"/> recognizes stands for; null where it is no name of the enum.</summary>
    public static object? Find(Type type, Predicate<string> isText) =>
        Enum.GetNames(type).Where(name => isText(JsonNamingPolicy.CamelCase.ConvertName(name))).Select(name => Enum.Parse(type, name)).FirstOrDefault();

    /// <summary>The fault of a text that is no name of the enum.</summary>
    public static string Fault(Type type, string text) =>
        $"must be one of {string.Join(", ", Enum.GetNames(type).Select(JsonNamingPolicy.CamelCase.ConvertName))}; was {text}.";
}

/// <summary>
/// Reads an enum of a query by its name. The framework's own binder takes numbers as well, and of <c>running,paused</c>
/// it makes a third state.
/// </summary>
internal sealed class EnumNameBinder : IModelBinder
{
    public Task BindModelAsync(ModelBindingContext bindingContext)
    {
        var given = bindingContext.ValueProvider.GetValue(bindingContext.ModelName);
        if (given.FirstValue is not { Length: > 0 } text)
            return Task.CompletedTask;
        bindingContext.ModelState.SetModelValue(bindingContext.ModelName, given);
        var type = bindingContext.ModelMetadata.UnderlyingOrModelType;
        if (EnumNames.Find(type, name => name == text) is { } member)
            bindingContext.Result = ModelBindingResult.Success(member);
        else
            bindingContext.ModelState.AddModelError(bindingContext.ModelName, EnumNames.Fault(type, $"'{text}'"));
        return Task.CompletedTask;
    }

    /// <summary>Puts the binder before the framework's.</summary>
    public sealed class Provider : IModelBinderProvider
    {
        public IModelBinder? GetBinder(ModelBinderProviderContext context) => context.Metadata.UnderlyingOrModelType.IsEnum ? new EnumNameBinder() : null;
    }
}
