using System.Text.Json.Nodes;
using StreamService.Qemu.Qmp;

namespace StreamService.Tests.Qmp;

public sealed class QmpMessageTests
{
    [Fact]
    public void A_command_carries_its_arguments_and_leaves_them_alone()
    {
        var arguments = new JsonObject { ["id"] = "e\"1" };

        Assert.Equal("""{"execute":"block-export-del","arguments":{"id":"e\u00221"}}""", QmpMessage.Command("block-export-del", arguments));
        Assert.Equal("""{"execute":"query-jobs"}""", QmpMessage.Command("query-jobs", null));
        Assert.Null(arguments.Parent);
    }

    [Fact]
    public void A_result_outlives_its_answer()
    {
        var result = QmpMessage.Result("x", """{"return":[1,2],"id":"libvirt-417"}""");

        Assert.Equal(2, result.GetArrayLength());
    }

    [Fact]
    public void A_refusal_keeps_its_class_and_text()
    {
        var refusal = Assert.Throws<QmpCommandException>(() => QmpMessage.Result(
            "nbd-server-start", """{"id":"1","error":{"class":"GenericError","desc":"NBD server already running"}}"""));

        Assert.Equal("nbd-server-start", refusal.Command);
        Assert.Equal("GenericError", refusal.Class);
        Assert.Equal("NBD server already running", refusal.Description);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"error":"no"}""")]
    [InlineData("""{"return":1} x""")]
    [InlineData("""{"QMP":{}}""")]
    [InlineData("""{"error":{"class":"GenericError","desc":"\ud800"}}""")]
    [InlineData("""{"retu\ud800rn":{}}""")]
    public void What_is_no_answer_is_a_broken_link(string answer)
    {
        var broken = Assert.Throws<QmpException>(() => QmpMessage.Result("query-block", answer));

        Assert.StartsWith("query-block", broken.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_refusal_without_its_members_is_still_a_refusal()
    {
        var refusal = Assert.Throws<QmpCommandException>(() => QmpMessage.Result("x", """{"error":{"class":7}}"""));

        Assert.Equal("", refusal.Class);
        Assert.Equal("", refusal.Description);
    }
}
