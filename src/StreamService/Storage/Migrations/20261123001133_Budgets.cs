using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace StreamService.Storage.Migrations
{
    /// <inheritdoc />
    public partial class Budgets : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "MinBandwidth",
                table: "Streams",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<double>(
                name: "TargetLatencyMs",
                table: "Streams",
                type: "REAL",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "Budgets",
                columns: table => new
                {
                    Name = table.Column<string>(type: "TEXT", nullable: false),
                    Scope = table.Column<string>(type: "TEXT", maxLength: 32, nullable: false),
                    Match = table.Column<string>(type: "TEXT", nullable: true),
                    BytesPerSecond = table.Column<long>(type: "INTEGER", nullable: false),
                    Windows = table.Column<string>(type: "TEXT", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Budgets", x => x.Name);
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "Budgets");

            migrationBuilder.DropColumn(
                name: "MinBandwidth",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "TargetLatencyMs",
                table: "Streams");
        }
    }
}
