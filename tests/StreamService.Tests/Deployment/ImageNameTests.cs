using StreamService.Deployment.Images;

namespace StreamService.Tests.Deployment;

public sealed class ImageNameTests
{
    public static TheoryData<string> Good =>
    [
        "a", "debian-12.qcow2", "Ubuntu 24.04", "a+b@c~d=e_f", "größe.raw", "образ.qcow2", "映像", "𠀀.raw", "1", "_a", "~a", "=a", "@a", "a.", "a..b", "a...",
        new string('a', 255), new string('ä', 127),
    ];

    [Theory]
    [MemberData(nameof(Good))]
    public void Names_that_can_be_an_image(string name)
    {
        Assert.True(ImageName.IsValid(name));
        Assert.True(ImageName.TryParse("central/" + name, out var image));
        Assert.Equal(("central", name, "central/" + name), (image.Repository, image.Name, image.ToString()));
    }

    public static TheoryData<string> Hostile =>
    [
        "", ".", "..", ".hidden", "-rf", "--help", " a", "a ", " ", "a/b", "/a", "a/", "../a", "a/../b", "..\\a", "a\\b", "%2e%2e", "a%00", "%2F", "a%252Fb", "a:b", "json:{}", "nbd:h:1", "a,b",
        "a;b", "a|b", "a&b", "a?b", "a#b", "a*b", "a\"b", "a'b", "a`b", "a$b", "a{b", "a(b", "a<b", "a\0", "a\nb", "a\tb", "a\u0085b", "a\u00a0b", "a\u200bb", "a\u202eb", "a\u2044b", "a\uff0fb",
        "a\u2028b", "\ufeffa", "\ud800", "a\udc00b", "\ufffd", "😀", new string('a', 256), new string('ä', 128), string.Concat(Enumerable.Repeat("𠀀", 64)),
    ];

    [Theory]
    [MemberData(nameof(Hostile))]
    public void Names_that_cannot(string name)
    {
        Assert.False(ImageName.IsValid(name));
        Assert.False(ImageName.TryParse("central/" + name, out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a")]
    [InlineData("/a")]
    [InlineData("./a")]
    [InlineData("../a")]
    [InlineData(".r/a")]
    [InlineData("a b/c")]
    [InlineData("ä/a")]
    [InlineData("a/b/c")]
    [InlineData("//a")]
    public void Text_that_names_no_image(string text) => Assert.False(ImageName.TryParse(text, out _));

    [Theory]
    [InlineData("a", true)]
    [InlineData("A-1_b.c", true)]
    [InlineData("-", true)]
    [InlineData("", false)]
    [InlineData(".a", false)]
    [InlineData("a/b", false)]
    [InlineData("ä", false)]
    [InlineData("a b", false)]
    public void Repository_names(string name, bool valid)
    {
        Assert.Equal(valid, ImageName.IsRepository(name));
        Assert.True(ImageName.IsRepository(new string('a', 64)));
        Assert.False(ImageName.IsRepository(new string('a', 65)));
    }
}
