using System.Runtime.InteropServices;
using System.Text;

namespace StreamService.Qemu.Libvirt;

/// <summary>libvirt's typed parameters (libvirt-common.h) to and from .NET values.</summary>
internal static unsafe class TypedParameters
{
    /// <summary>Reads a native array, which stays its owner's.</summary>
    /// <returns>Values by name: int, uint, long, ulong, double, bool or string. Unknown types are left out.</returns>
    internal static List<KeyValuePair<string, object>> Read(nint parameters, int count)
    {
        var values = new List<KeyValuePair<string, object>>(count);
        for (var i = 0; i < count; i++)
        {
            var parameter = (VirTypedParameter*)parameters + i;
            object? value = (VirTypedParameterType)parameter->Type switch
            {
                VirTypedParameterType.Int => parameter->Value.Int,
                VirTypedParameterType.UInt => parameter->Value.UInt,
                VirTypedParameterType.LLong => parameter->Value.LLong,
                VirTypedParameterType.ULLong => parameter->Value.ULLong,
                VirTypedParameterType.Double => parameter->Value.Double,
                VirTypedParameterType.Boolean => parameter->Value.Boolean != 0,
                VirTypedParameterType.String => Marshal.PtrToStringUTF8((nint)parameter->Value.String),
                _ => null,
            };
            if (value is not null)
                values.Add(new(Marshal.PtrToStringUTF8((nint)parameter->Field) ?? "", value));
        }

        return values;
    }

    /// <summary>Calls <paramref name="use"/> with the native form of <paramref name="values"/>, which lives only that long.</summary>
    /// <param name="values">A name may occur several times (VIR_MIGRATE_PARAM_MIGRATE_DISKS does).
    /// Values: int, uint, long, ulong, double, bool or string.</param>
    /// <param name="use">Gets the array's address and its length.</param>
    /// <exception cref="ArgumentException">A name is too long, or a value is of another type.</exception>
    internal static T With<T>(IReadOnlyList<KeyValuePair<string, object>> values, Func<nint, int, T> use)
    {
        var parameters = (VirTypedParameter*)NativeMemory.AllocZeroed((nuint)values.Count, (nuint)sizeof(VirTypedParameter));
        try
        {
            for (var i = 0; i < values.Count; i++)
                Write(parameters + i, values[i].Key, values[i].Value);
            return use((nint)parameters, values.Count);
        }
        finally
        {
            for (var i = 0; i < values.Count; i++)
            {
                if (parameters[i].Type == (int)VirTypedParameterType.String)
                    Marshal.FreeCoTaskMem((nint)parameters[i].Value.String);
            }

            NativeMemory.Free(parameters);
        }
    }

    private static void Write(VirTypedParameter* parameter, string name, object value)
    {
        if (Encoding.UTF8.GetByteCount(name) >= VirTypedParameter.FieldLength)
            throw new ArgumentException($"The parameter name '{name}' is too long.", nameof(name));
        Encoding.UTF8.GetBytes(name, new Span<byte>(parameter->Field, VirTypedParameter.FieldLength));

        VirTypedParameterType type;
        switch (value)
        {
            case int number: parameter->Value.Int = number; type = VirTypedParameterType.Int; break;
            case uint number: parameter->Value.UInt = number; type = VirTypedParameterType.UInt; break;
            case long number: parameter->Value.LLong = number; type = VirTypedParameterType.LLong; break;
            case ulong number: parameter->Value.ULLong = number; type = VirTypedParameterType.ULLong; break;
            case double number: parameter->Value.Double = number; type = VirTypedParameterType.Double; break;
            case bool flag: parameter->Value.Boolean = flag ? (byte)1 : (byte)0; type = VirTypedParameterType.Boolean; break;
            case string text: parameter->Value.String = (byte*)Marshal.StringToCoTaskMemUTF8(text); type = VirTypedParameterType.String; break;
            default:
                throw new ArgumentException(
                    $"'{name}' cannot be a {value.GetType().Name}.", nameof(value));
        }

        // Last, so that the clean-up frees only what was allocated.
        parameter->Type = (int)type;
    }
}
