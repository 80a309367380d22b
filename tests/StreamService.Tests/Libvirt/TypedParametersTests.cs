using System.Runtime.InteropServices;
using StreamService.Qemu.Libvirt;

namespace StreamService.Tests.Libvirt;

public sealed class TypedParametersTests
{
    [Fact]
    public void Values_of_every_type_come_back_and_names_may_repeat()
    {
        KeyValuePair<string, object>[] values =
        [
            new("i", -1), new("u", 2u), new("l", long.MinValue), new("ul", ulong.MaxValue), new("d", 0.5), new("b", true),
            new("migrate_disks", "vda"), new("migrate_disks", "vdb ü"),
        ];

        var read = TypedParameters.With(values, TypedParameters.Read);

        Assert.Equal(values, read);
    }

    [Fact]
    public void The_struct_has_the_size_that_C_gives_it() => Assert.Equal(96, Marshal.SizeOf<VirTypedParameter>());

    [Fact]
    public void A_name_too_long_or_a_value_of_another_type_is_refused()
    {
        Assert.Throws<ArgumentException>(() => TypedParameters.With([new(new string('n', 80), 1)], (_, _) => 0));
        Assert.Throws<ArgumentException>(() => TypedParameters.With([new("n", "text"), new("m", 1m)], (_, _) => 0));
    }
}
