using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace StreamService.Storage.Sqlite.Migrations
{
    /// <inheritdoc />
    public partial class SecurityAndFaults : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<int>(
                name: "Attempt",
                table: "Streams",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0);

            migrationBuilder.AddColumn<string>(
                name: "Labels",
                table: "Streams",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "LastErrorCode",
                table: "Streams",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "LastErrorDetail",
                table: "Streams",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "Labels",
                table: "Migrations",
                type: "TEXT",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "DataProtectionKeys",
                columns: table => new
                {
                    Id = table.Column<int>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    FriendlyName = table.Column<string>(type: "TEXT", nullable: true),
                    Xml = table.Column<string>(type: "TEXT", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_DataProtectionKeys", x => x.Id);
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "DataProtectionKeys");

            migrationBuilder.DropColumn(
                name: "Attempt",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "Labels",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "LastErrorCode",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "LastErrorDetail",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "Labels",
                table: "Migrations");
        }
    }
}
