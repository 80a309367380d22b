using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace StreamService.Storage.Migrations
{
    /// <inheritdoc />
    public partial class NativeEngine : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<string>(name: "EngineAsked", table: "Streams", type: "TEXT", maxLength: 32, nullable: true);
            migrationBuilder.AddColumn<string>(name: "EngineReason", table: "Streams", type: "TEXT", nullable: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(name: "EngineAsked", table: "Streams");
            migrationBuilder.DropColumn(name: "EngineReason", table: "Streams");
        }
    }
}
