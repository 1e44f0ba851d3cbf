"""A view of the report."""

from pretrieve_dashboards.views import Table, TableCell, View


class Rates(View):
    """Which learning rate each cell chose."""

    name = "rates"
    id = "rates"
    title = "Learning rates that were chosen"
    link = "Rates"
    order = 47

    def applies(self, record):
        return any(cell.best for cell in record.cells)

    def table(self, record):
        chosen = [cell for cell in record.cells if cell.best]
        rows = [(TableCell(c.target), TableCell(c.method), TableCell(f"{c.best['lr']:g}")) for c in chosen]
        return Table("Rates by cell", "The rate of the best trial.", ("target", "method", "rate"), rows)
